// Preloaded into a node: counts the system calls that write below one directory, over all threads, and lets one of them
// fail, or end the process, or (FAULT=nosync) makes synchronising do nothing at all.
//
//   FAULT_DIR=/path/of/data       what is counted
//   FAULT=KIND:N[:on]             at the N-th call (":on": at every one from there on) of that count
//       EIO, ENOSPC               the call fails
//       SHORT                     a write writes half of it; everything after it fails with ENOSPC
//       KILL, KILLAFTER           the process is killed before or after the call
//   FAULT_LOG=/path               a line per counted call: number, name, path
//
// strace can inject errors, too, but counts for each thread by itself, so that "the N-th call" is not one call.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, ERROR, SHORT, KILL, KILLAFTER };

static char dir[PATH_MAX];
static enum kind kind;
static int error, on, nosync, log_fd = -1;
static long target;
static atomic_long count;

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("FAULT_DIR"), *what = getenv("FAULT"), *log = getenv("FAULT_LOG");
    if (where) snprintf(dir, sizeof dir, "%s", where);
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (!what) return;
    nosync = !strcmp(what, "nosync");
    const char *colon = strchr(what, ':');
    if (!colon) return;
    target = atol(colon + 1);
    on = strstr(colon + 1, ":on") != NULL;
    size_t n = colon - what;
    if (!strncmp(what, "EIO", n)) kind = ERROR, error = EIO;
    if (!strncmp(what, "ENOSPC", n)) kind = ERROR, error = ENOSPC;
    if (!strncmp(what, "SHORT", n)) kind = SHORT, error = ENOSPC, on = 1;
    if (n == 4 && !strncmp(what, "KILL", n)) kind = KILL;
    if (n == 9 && !strncmp(what, "KILLAFTER", n)) kind = KILLAFTER;
}

static void path_of(int fd, const char *path, char *out) {
    char link[64];
    out[0] = 0;
    if (path && path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n < 0 ? 0 : n] = 0;
    if (path) {
        size_t used = strlen(out);
        snprintf(out + used, PATH_MAX - used, "/%s", path);
    }
}

// What is to happen with a call: 0 nothing, 1 it fails (errno is set), 2 half of it, 3 kill after it.
static int fate(const char *name, int fd, const char *path) {
    char where[PATH_MAX];
    int saved = errno;
    if (!dir[0]) return 0;
    path_of(fd, path, where);
    if (strncmp(where, dir, strlen(dir))) {
        errno = saved;
        return 0;
    }
    long n = atomic_fetch_add(&count, 1) + 1;
    int hit = target && (n == target || (on && n > target));
    if (log_fd >= 0 && (!target || hit)) {
        char line[PATH_MAX + 64];
        int len = snprintf(line, sizeof line, "%ld %s %s\n", n, name, where + strlen(dir));
        syscall(SYS_write, log_fd, line, len);
    }
    errno = saved;
    if (!hit) return 0;
    if (kind == KILL) kill(getpid(), SIGKILL), pause();
    if (kind == KILLAFTER) return 3;
    if (kind == SHORT && n == target && !strcmp(name, "write")) return 2;
    errno = error;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define CALL(result, call, what) \
    int f = what; \
    if (f == 1) return -1; \
    result r = call; \
    if (f == 3) kill(getpid(), SIGKILL), pause(); \
    return r

int fsync(int fd) {
    REAL(fsync);
    if (nosync) return 0;
    CALL(int, real(fd), fate("fsync", fd, NULL));
}
int fdatasync(int fd) {
    REAL(fdatasync);
    if (nosync) return 0;
    CALL(int, real(fd), fate("fdatasync", fd, NULL));
}
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    REAL(sync_file_range);
    if (nosync) return 0;
    CALL(int, real(fd, offset, length, flags), fate("sync_file_range", fd, NULL));
}
ssize_t write(int fd, const void *data, size_t length) {
    REAL(write);
    int f = fate("write", fd, NULL);
    if (f == 1) return -1;
    ssize_t r = real(fd, data, f == 2 ? length / 2 : length);
    if (f == 3) kill(getpid(), SIGKILL), pause();
    return r;
}
static ssize_t at_offset(ssize_t (*real)(int, const void *, size_t, off64_t), int fd, const void *data, size_t length,
                         off64_t offset) {
    int f = fate("write", fd, NULL);
    if (f == 1) return -1;
    ssize_t r = real(fd, data, f == 2 ? length / 2 : length, offset);
    if (f == 3) kill(getpid(), SIGKILL), pause();
    return r;
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(pwrite64);
    return at_offset(real, fd, data, length, offset);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    REAL(pwrite64);
    return at_offset(real, fd, data, length, offset);
}
ssize_t writev(int fd, const struct iovec *v, int n) {
    REAL(writev);
    CALL(ssize_t, real(fd, v, n), fate("writev", fd, NULL));
}
int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    CALL(int, real(fd, length), fate("ftruncate", fd, NULL));
}
int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    CALL(int, real(fd, length), fate("ftruncate", fd, NULL));
}
int rename(const char *from, const char *to) {
    REAL(rename);
    CALL(int, real(from, to), fate("rename", AT_FDCWD, to));
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    CALL(int, real(path, mode), fate("mkdir", AT_FDCWD, path));
}
int unlink(const char *path) {
    REAL(unlink);
    CALL(int, real(path), fate("unlink", AT_FDCWD, path));
}
int unlinkat(int fd, const char *path, int flags) {
    REAL(unlinkat);
    CALL(int, real(fd, path, flags), fate("unlinkat", fd, path));
}
int rmdir(const char *path) {
    REAL(rmdir);
    CALL(int, real(path), fate("rmdir", AT_FDCWD, path));
}
int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    CALL(int, real(fd, mode), fate("fchmod", fd, NULL));
}
int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    CALL(int, real(path, mode), fate("chmod", AT_FDCWD, path));
}
#define OPENS(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC))
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        REAL(name); \
        CALL(int, real(path, flags, mode), OPENS(flags) ? fate("open", AT_FDCWD, path) : 0); \
    }
#define OPENAT(name) \
    int name(int fd, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        REAL(name); \
        CALL(int, real(fd, path, flags, mode), OPENS(flags) ? fate("open", fd, path) : 0); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
