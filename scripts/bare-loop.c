/* The system calls that new string keys cost, and nothing else: what the file system can do at
 * best. For each key a directory, a file with its value, a hard link as type. scripts/bench runs
 * it beside the server. Knows nothing of the server, of names that need encoding, or of syncing:
 * it ends with one syncfs, as TREE SYNC does.
 *
 *     bare-loop FOLDER COUNT VALUE_BYTES
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 1000 /* Links to one shared type file, as the server has it. */

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void write_file(int folder, const char *name, const char *bytes, size_t size)
{
    int file = openat(folder, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
    check(file, name);
    check((int)write(file, bytes, size), name);
    close(file);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bare-loop FOLDER COUNT VALUE_BYTES\n");
        return 2;
    }
    long count = atol(argv[2]);
    size_t size = (size_t)atol(argv[3]);
    char *value = malloc(size + 1), name[64], shared[64] = "";
    memset(value, 'x', size);
    check(mkdir(argv[1], 0700), argv[1]);
    int root = open(argv[1], O_RDONLY | O_DIRECTORY);
    check(root, argv[1]);
    srandom(1);
    for (long n = 0; n < count; n++) {
        if (n % LINKS_MAX == 0) {
            snprintf(shared, sizeof shared, "shared-%ld", n);
            write_file(root, shared, "string", 6);
        }
        snprintf(name, sizeof name, "key:%06ld%06ld", random() % 1000000, n % 1000000);
        if (mkdirat(root, name, 0700) < 0 && errno == EEXIST)
            continue;
        int key = openat(root, name, O_RDONLY | O_DIRECTORY);
        check(key, name);
        write_file(key, "value", value, size);
        check(linkat(root, shared, key, "type", 0), name);
        close(key);
    }
    check(syncfs(root), "syncfs");
    return 0;
}
