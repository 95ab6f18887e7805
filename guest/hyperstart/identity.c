/* Owns what makes a VM itself and not its template: clock, entropy, names, sysctls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "commands.h"
#include "files.h"
#include "mounts.h"
#include "network.h"
#include "runtime.h"

enum { ENTROPY_BYTES_MAX = 512 };

/* Credit the host's bytes and reseed at once: two clones must not draw the same numbers. */
static int mix_entropy(const struct wire_bytes *entropy, struct error *err)
{
    cleanup_close int fd = -1;
    struct {
        struct rand_pool_info info;
        uint8_t bytes[ENTROPY_BYTES_MAX];
    } pool;

    if (entropy->length == 0 || !runtime.vm)
        return 0;
    if (entropy->length > ENTROPY_BYTES_MAX)
        return error_set(err, EINVAL, "entropy", "%u bytes", entropy->length);
    fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    pool.info.entropy_count = (int)entropy->length * 8;
    pool.info.buf_size = (int)entropy->length;
    memcpy((uint8_t *)&pool + sizeof pool.info, entropy->data, entropy->length);
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
        return error_errno(err, "entropy", "/dev/urandom");
    return 0;
}

static int set_names(const struct message_pod_setup *setup, struct error *err)
{
    char path[160], text[40] = "";
    cleanup_close int fd = -1;

    if (!runtime.vm)
        return 0;
    if (*setup->hostname && sethostname(setup->hostname, strlen(setup->hostname)) < 0)
        return error_errno(err, "hostname", "%s", setup->hostname);
    if (*setup->domainname && setdomainname(setup->domainname, strlen(setup->domainname)) < 0)
        return error_errno(err, "domainname", "%s", setup->domainname);
    if (setup->machine_id.length != 16)
        return 0;
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", setup->machine_id.data[i]);
    text[32] = '\n';
    snprintf(path, sizeof path, "%s/machine-id", runtime.dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    if (fd < 0 || write(fd, text, 33) != 33)
        return error_errno(err, "write", "%s", path);
    return 0;
}

static int resize_shm(uint64_t size_bytes, struct error *err)
{
    char path[160], options[64];

    if (size_bytes == 0)
        return 0;
    snprintf(path, sizeof path, "%s/shm", runtime.dir);
    snprintf(options, sizeof options, "mode=1777,size=%llu", (unsigned long long)size_bytes);
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        return error_errno(err, "mount", "shm of %llu bytes", (unsigned long long)size_bytes);
    return 0;
}

int sysctls_apply(const struct key_value_list *sysctls, struct error *err)
{
    char path[256];

    for (uint32_t i = 0; i < sysctls->count; i++) {
        const char *key = sysctls->items[i].key;
        /* sysctl(8): when the first separator is a slash, dots are part of names. */
        bool slashes = key[strcspn(key, "./")] == '/';

        if (strstr(key, "..") || *key == '/' || strlen(key) > 200)
            return error_set(err, EINVAL, "sysctl", "%s", key);
        snprintf(path, sizeof path, "/proc/sys/%s", key);
        for (char *at = path + strlen("/proc/sys/"); !slashes && *at; at++)
            *at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
        if (file_write(AT_FDCWD, path, sysctls->items[i].value, err) < 0)
            return error_set(err, err->number, "sysctl", "%s=%s", key, sysctls->items[i].value);
    }
    return 0;
}

COMMAND(pod_setup)
{
    const struct message_pod_setup *setup = message;

    (void)request;
    if (clock_set(setup->wall_ns, err) < 0 || mix_entropy(&setup->entropy, err) < 0)
        return -1;
    if (set_names(setup, err) < 0 || resize_shm(setup->shm_bytes, err) < 0)
        return -1;
    if (runtime.vm && network_setup(&setup->interfaces, err) < 0)
        return -1;
    return sysctls_apply(&setup->sysctls, err) < 0 ? -1 : OUTCOME_OK;
}
