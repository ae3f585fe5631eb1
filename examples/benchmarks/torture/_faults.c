/* Lets the n-th call that writes below a folder fail, or end the process there. Loaded by LD_PRELOAD; see faults.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[4096];
static int at, code, lasting; /* the number of the call; its errno, or 0 to be killed; whether all later ones fail too */
static int seen;

void faults_arm(const char *below, int number, int error, int all) {
    snprintf(folder, sizeof folder, "%s", below);
    at = number, code = error, lasting = all, seen = 0;
}

int faults_seen(void) { return seen; }

static int fails(const char *path) {
    if (!folder[0] || !path || !strstr(path, folder)) return 0;
    seen++;
    if (seen != at && !(lasting && at && seen > at)) return 0;
    if (!code) kill(getpid(), SIGKILL);
    errno = code;
    return 1;
}

static int fails_at(int descriptor) {
    char link[64], path[4096];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(path);
}

static const char *whole(const char *path, char *room) { /* relative paths are below the current folder */
    if (path && path[0] != '/') {
        if (!getcwd(room, 4096)) return path;
        strncat(room, "/", 4096 - strlen(room) - 1);
        strncat(room, path, 4096 - strlen(room) - 1);
        return room;
    }
    return path;
}

#define REAL(name, type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define OPEN(name)                                                                      \
    int name(const char *path, int flags, ...) {                                        \
        char room[4096];                                                                \
        mode_t mode = 0;                                                                \
        if (flags & (O_CREAT | O_TMPFILE)) {                                            \
            va_list rest;                                                               \
            va_start(rest, flags);                                                      \
            mode = va_arg(rest, mode_t);                                                \
            va_end(rest);                                                               \
        }                                                                               \
        if ((flags & (O_WRONLY | O_RDWR)) && fails(whole(path, room))) return -1;       \
        return REAL(#name, int, const char *, int, ...)(path, flags, mode);             \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int descriptor, const void *data, size_t size) {
    return fails_at(descriptor) ? -1 : REAL("write", ssize_t, int, const void *, size_t)(descriptor, data, size);
}
int fsync(int descriptor) { return fails_at(descriptor) ? -1 : REAL("fsync", int, int)(descriptor); }
int mkdir(const char *path, mode_t mode) {
    char room[4096];
    return fails(whole(path, room)) ? -1 : REAL("mkdir", int, const char *, mode_t)(path, mode);
}
int rename(const char *from, const char *to) {
    char room[4096];
    return fails(whole(to, room)) ? -1 : REAL("rename", int, const char *, const char *)(from, to);
}
int renameat2(int one, const char *from, int other, const char *to, unsigned how) {
    char room[4096];
    if (fails(whole(to, room))) return -1;
    return REAL("renameat2", int, int, const char *, int, const char *, unsigned)(one, from, other, to, how);
}
