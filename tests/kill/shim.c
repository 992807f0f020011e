/* Preloaded into the process under test: kills it just before the n-th call that changes a file below a folder, or in the
 * middle of it, if that is a write. DRIFT_KILL_UNDER is the folder, DRIFT_KILL_AT is n, from 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long count;

static int below(const char *path) {
    const char *folder = getenv("DRIFT_KILL_UNDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int open_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Whether this is the call to die at. */
static int due(void) {
    const char *at = getenv("DRIFT_KILL_AT");
    return at && atomic_fetch_add(&count, 1) + 1 == atol(at);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
    if (open_below(fd) && due()) {
        NEXT(write)(fd, bytes, length / 2);
        die();
    }
    return NEXT(write)(fd, bytes, length);
}

int fsync(int fd) {
    if (open_below(fd) && due()) die();
    return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    if (open_below(fd) && due()) die();
    return NEXT(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t length) {
    if (open_below(fd) && due()) die();
    return NEXT(ftruncate64)(fd, length);
}

int link(const char *from, const char *to) {
    if (below(to) && due()) die();
    return NEXT(link)(from, to);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    if (below(to) && due()) die();
    return NEXT(linkat)(from_fd, from, to_fd, to, flags);
}

int unlink(const char *path) {
    if (below(path) && due()) die();
    return NEXT(unlink)(path);
}

int unlinkat(int fd, const char *path, int flags) {
    if (open_below(fd) && due()) die();
    return NEXT(unlinkat)(fd, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    if (below(path) && due()) die();
    return NEXT(mkdir)(path, mode);
}

int open64(const char *path, int flags, ...) {
    __builtin_va_list arguments;
    __builtin_va_start(arguments, flags);
    mode_t mode = __builtin_va_arg(arguments, mode_t);
    __builtin_va_end(arguments);
    if ((flags & O_CREAT) && below(path) && due()) die();
    return NEXT(open64)(path, flags, mode);
}
