/* A disk that fails: writes, syncs and truncations of the files in one folder go wrong when and how they are told to.

   Loaded into a process by LD_PRELOAD, it stands between the process and libc's write, writev, pwrite, pwrite64, fsync,
   fdatasync, ftruncate, ftruncate64 and unlink. Files outside the folder are not its business. What a process writes
   through a mapping (SQLite's index of the write-ahead log, NAME-shm) passes by: that file is rebuilt after every power
   cut and holds nothing that has to last. posix_fallocate and rename pass by too, and what was made stays there.

   Environment:
     TORN_FOLDER    the folder, as an absolute path without links; needed, else nothing is touched
     TORN_JOURNAL   file outside the folder for what a power cut would bring back (see TORN_CACHE)
     TORN_CONTROL   file of the settings below, mapped and shared, so that a test can set and read them at any time;
                    without it the process has settings of its own, taken from the environment, and is armed
     TORN_FAULT     eio | enospc | short | short-enospc | kill; none without it
                    short: half of the bytes are taken, whoever asks for the rest gets it taken
                    short-enospc: half of the bytes are taken, then there is no space left
                    kill: half of the bytes are taken, then the process is killed (of other calls: before the call)
     TORN_KINDS     sum of 1 (writes), 2 (syncs), 4 (truncations): which calls count and fail; all without it
     TORN_AT        the fault comes at this counted call, from 1
     TORN_STICKY    1: and at every later one
     TORN_STALL_MS  every sync takes so much longer
     TORN_CACHE     what is written stands in a cache, to be lost by a power cut, until a sync is honoured, which makes
                    durable: 1 all that was written before it, as when a disk empties its cache; 2 only its own file,
                    or the removals of files from its own folder, which is all that fsync(2) promises
     TORN_HONOUR    how many of a hundred syncs are honoured, by chance; the others say so and do nothing (a disk that
                    lies); 100 without it
     TORN_SEED      of that chance

   What is not durable yet stands in the journal as pre-images, each written before the file changes. torn_disk.py has
   the other half: it reads and sets the control file, and rolls the folder back to what a power cut would have left.
   A file that was removed comes back too; one that was made comes back empty. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, TRUNCATIONS = 4 };
enum { NO_FAULT, FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_SHORT_ENOSPC, FAULT_KILL };
enum { NO_CACHE, CACHE_OF_DISK, CACHE_OF_FILE };
enum { PRE_IMAGE, DURABLE, REMOVED };
static const char *const fault_names[] = {"none", "eio", "enospc", "short", "short-enospc", "kill"};

/* The control file: 64-bit numbers in this order (torn_disk.py names them in the same order). */
struct control {
    uint64_t armed, fault, kinds, at, sticky, stall_ms, cache, honour, chance;
    uint64_t writes, syncs, truncations, seen, hit, honoured, denied;
};

/* One entry of the journal, before the name and the old bytes. */
struct entry {
    uint32_t kind, name_size;
    uint64_t offset, file_size, size;
};

static struct control *control;
static char folder[PATH_MAX];
static size_t folder_size;
static int journal = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off64_t);
static int (*real_unlink)(const char *);

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void give_up(const char *what) {
    dprintf(2, "torn_disk: %s: %s\n", what, strerror(errno));
    _exit(70);
}

static void own_settings(void) {
    const char *fault = getenv("TORN_FAULT");
    control->armed = 1;
    control->kinds = number("TORN_KINDS", WRITES | SYNCS | TRUNCATIONS);
    control->at = number("TORN_AT", 0);
    control->sticky = number("TORN_STICKY", 0);
    control->stall_ms = number("TORN_STALL_MS", 0);
    control->cache = number("TORN_CACHE", NO_CACHE);
    control->honour = number("TORN_HONOUR", 100);
    control->chance = number("TORN_SEED", 1);
    for (uint64_t n = 0; fault && n < sizeof fault_names / sizeof *fault_names; n++)
        if (!strcmp(fault, fault_names[n])) control->fault = n;
}

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *wanted = getenv("TORN_FOLDER"), *settings = getenv("TORN_CONTROL"), *kept = getenv("TORN_JOURNAL");
    if (!wanted) return;
    folder_size = strlen(strncpy(folder, wanted, PATH_MAX - 1));
    if (kept && (journal = open(kept, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) give_up(kept);
    int file = -1;
    if (settings) {
        file = open(settings, O_RDWR | O_CLOEXEC);
        if (file < 0) give_up(settings);
    }
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, settings ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, file, 0);
    if (control == MAP_FAILED) give_up("control");
    if (settings) close(file);
    else own_settings();
}

/* The name within the folder of what a path leads to, or NULL. */
static const char *within(const char *path) {
    if (strncmp(path, folder, folder_size)) return NULL;
    if (!path[folder_size]) return path + folder_size; /* the folder itself */
    return path[folder_size] == '/' ? path + folder_size + 1 : NULL;
}

/* The name within the folder of an open file, or NULL; its whole path goes to `path`, of PATH_MAX bytes. */
static const char *ours(int fd, char *path) {
    if (!control || fd < 0) return NULL;
    char link[40];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = before;
    if (size <= 0) return NULL;
    path[size] = 0;
    return within(path);
}

/* Count a call and say what becomes of it. */
static int fate(uint64_t kind) {
    if (!control->armed) return NO_FAULT;
    if (kind == WRITES) control->writes++;
    else if (kind == SYNCS) control->syncs++;
    else control->truncations++;
    if (!(control->kinds & kind)) return NO_FAULT;
    uint64_t now = ++control->seen, at = control->at;
    int fault = (int)control->fault;
    int after = fault == FAULT_SHORT_ENOSPC && now == at + 1;
    if (fault == NO_FAULT || !at || !(now == at || after || (control->sticky && now > at))) return NO_FAULT;
    control->hit++;
    if (fault == FAULT_SHORT_ENOSPC) return now == at ? FAULT_SHORT : FAULT_ENOSPC;
    return fault;
}

static ssize_t refuse(int fault) {
    errno = fault == FAULT_ENOSPC ? ENOSPC : EIO;
    return -1;
}

/* A file descriptor of our own on a file, to read what is about to be lost. */
static int look(const char *path, uint64_t *size) {
    struct stat64 facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    if (fstat64(fd, &facts)) give_up(path);
    *size = (uint64_t)facts.st_size;
    return fd;
}

static int has_to_last(const char *name) {
    size_t size = strlen(name);
    return size < 4 || strcmp(name + size - 4, "-shm");
}

/* Keep what stands at [offset, offset + size) of a file, and the file's length. */
static void keep(uint32_t kind, const char *name, const char *path, uint64_t offset, uint64_t size) {
    if (!control->cache || journal < 0 || !has_to_last(name)) return;
    struct entry entry = {.kind = kind, .name_size = (uint32_t)strlen(name), .offset = offset};
    int fd = look(path, &entry.file_size);
    if (fd < 0) return; /* removed while it is open: nobody can come back to it */
    if (offset < entry.file_size) entry.size = size < entry.file_size - offset ? size : entry.file_size - offset;
    size_t head = sizeof entry + entry.name_size, whole = head + entry.size;
    char *bytes = malloc(whole);
    if (!bytes) give_up("pre-image");
    memcpy(bytes, &entry, sizeof entry);
    memcpy(bytes + sizeof entry, name, entry.name_size);
    if (pread64(fd, bytes + head, entry.size, (off64_t)offset) != (ssize_t)entry.size) give_up(path);
    if (real_write(journal, bytes, whole) != (ssize_t)whole) give_up("journal");
    free(bytes);
    close(fd);
}

/* A sync is honoured: what it makes durable no power cut brings back. */
static void durable(const char *name) {
    control->honoured++;
    if (journal < 0) return;
    if (control->cache == CACHE_OF_DISK) {
        if (real_ftruncate(journal, 0)) give_up("journal");
        return;
    }
    struct entry entry = {.kind = DURABLE, .name_size = (uint32_t)strlen(name)};
    struct iovec parts[] = {{&entry, sizeof entry}, {(void *)name, entry.name_size}};
    if (real_writev(journal, parts, 2) != (ssize_t)(sizeof entry + entry.name_size)) give_up("journal");
}

static int honoured(void) { /* xorshift64, Marsaglia 2003 */
    uint64_t x = control->chance ? control->chance : 1;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    control->chance = x;
    return x % 100 < control->honour;
}

static ssize_t torn_pwrite(int fd, const char *name, const char *path, const void *bytes, size_t size, off64_t offset) {
    pthread_mutex_lock(&lock);
    int fault = fate(WRITES);
    ssize_t done;
    if (fault == FAULT_EIO || fault == FAULT_ENOSPC) {
        done = refuse(fault);
    } else {
        if (fault != NO_FAULT && size > 1) size /= 2;
        keep(PRE_IMAGE, name, path, (uint64_t)offset, size);
        done = real_pwrite(fd, bytes, size, offset);
        if (fault == FAULT_KILL) kill(getpid(), SIGKILL);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    char path[PATH_MAX];
    const char *name = ours(fd, path);
    return name ? torn_pwrite(fd, name, path, bytes, size, offset) : real_pwrite(fd, bytes, size, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    return pwrite64(fd, bytes, size, offset);
}

/* A write at the file's own position (or at its end, with O_APPEND) is one at a known place that also moves on. */
static ssize_t torn_write(int fd, const char *name, const char *path, const void *bytes, size_t size) {
    off64_t end = lseek64(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR);
    if (end < 0) return real_write(fd, bytes, size); /* not a file */
    ssize_t done = torn_pwrite(fd, name, path, bytes, size, end);
    if (done > 0) lseek64(fd, end + done, SEEK_SET);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    char path[PATH_MAX];
    const char *name = ours(fd, path);
    return name ? torn_write(fd, name, path, bytes, size) : real_write(fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    const char *name = ours(fd, path);
    if (!name) return real_writev(fd, parts, count);
    ssize_t total = 0;
    for (int n = 0; n < count; n++) {
        ssize_t done = torn_write(fd, name, path, parts[n].iov_base, parts[n].iov_len);
        if (done < 0) return total ? total : -1;
        total += done;
        if ((size_t)done < parts[n].iov_len) break;
    }
    return total;
}

static int torn_sync(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    const char *name = ours(fd, path);
    if (!name) return real(fd);
    if (control->armed && control->stall_ms) {
        struct timespec left = {(time_t)(control->stall_ms / 1000), (long)(control->stall_ms % 1000) * 1000000};
        while (nanosleep(&left, &left) && errno == EINTR) continue;
    }
    pthread_mutex_lock(&lock);
    int fault = fate(SYNCS), done = 0;
    if (fault == FAULT_KILL) kill(getpid(), SIGKILL);
    if (fault != NO_FAULT) {
        done = (int)refuse(fault);
    } else if (!control->cache) {
        done = real(fd);
    } else if (honoured()) {
        durable(name);
    } else {
        control->denied++;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return torn_sync(fd, real_fsync); }
int fdatasync(int fd) { return torn_sync(fd, real_fdatasync); }

int ftruncate64(int fd, off64_t size) {
    char path[PATH_MAX];
    const char *name = ours(fd, path);
    if (!name) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    int fault = fate(TRUNCATIONS), done;
    if (fault == FAULT_KILL) kill(getpid(), SIGKILL);
    if (fault != NO_FAULT) {
        done = (int)refuse(fault);
    } else {
        keep(PRE_IMAGE, name, path, (uint64_t)size, UINT64_MAX);
        done = real_ftruncate(fd, size);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
    const char *name = control ? within(path) : NULL;
    if (name) {
        pthread_mutex_lock(&lock);
        keep(REMOVED, name, path, 0, UINT64_MAX);
        pthread_mutex_unlock(&lock);
    }
    return real_unlink(path);
}
