"""Images: from registries and archives to read-only disks, content-addressed below one directory.

Knows neither containers nor VMs. `store.ImageStore` is what the engine uses; its parts:

    reference     names of images             credentials   who we are to a registry
    manifest      manifests and configs       registry      HTTP: the distribution protocol
    tarstream     reading and writing tar     pull, push    images from and to registries
    layerfilter   hostile tar to safe tar     archive       docker save, OCI layouts
    merge         several layers to one       changes       Dockerfile instructions on a config
    disks         tar to squashfs             builtin       busybox from the distribution's package
    layers        layers by diff ID           catalog       names, images, what may be removed
"""
