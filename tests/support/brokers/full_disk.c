/* A disk that is full: while the file FULL_WHEN is there, no file in a folder "base" is written to, for want of space.

   Loaded into PostgreSQL by LD_PRELOAD; reading, syncing and removing go on as ever. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int fd) {
    const char *when = getenv("FULL_WHEN");
    char link[40], path[PATH_MAX];
    int before = errno, is = 0;
    if (when && access(when, F_OK) == 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, path, sizeof path - 1);
        if (size > 0) path[size] = 0;
        is = size > 0 && strstr(path, "/base/") != NULL;
    }
    errno = before;
    return is;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite");
    return full(fd) ? (errno = ENOSPC, -1) : real(fd, bytes, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwritev");
    return full(fd) ? (errno = ENOSPC, -1) : real(fd, parts, count, at);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static int (*real)(int, off_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "posix_fallocate");
    return full(fd) ? ENOSPC : real(fd, at, size);
}
