#ifndef HYPERSTART_TAR_FORMAT_H
#define HYPERSTART_TAR_FORMAT_H

/* A header of an archive: POSIX.1-2017 pax, "ustar Interchange Format". */
struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};

#define TAR_OCTAL_7  07777777ULL      /* the largest number in 8 bytes */
#define TAR_OCTAL_11 077777777777ULL /* the largest number in 12 bytes */

enum { TAR_BLOCK = 512, TAR_NAME_BYTES = 100 };

enum {
    TAR_FILE = '0',
    TAR_HARD_LINK = '1',
    TAR_SYMLINK = '2',
    TAR_CHAR = '3',
    TAR_BLOCK_DEVICE = '4',
    TAR_DIRECTORY = '5',
    TAR_FIFO = '6',
    TAR_PAX = 'x',
};

#endif
