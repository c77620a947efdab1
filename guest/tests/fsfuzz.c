/* fsfuzz SEED COUNT: a random sequence of file calls in a root of its own, /tmp/fz, and what each of them answered. The same seed gives the same sequence, so that the
 * output can be compared with Linux's (fsfuzz.reference.gz: riscv64 Linux 6.12). Names, descriptors and sizes come from small sets, so that calls
 * meet each other's files. Times are not shown; inode numbers only as "same as". */
#include "check.h"
#include <dirent.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static uint64_t state;
static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 20) % n;
}

static const char *const names[] = { "a", "b", "c", "d", "e" };
static char path_space[4][200];

/* A path of one to three names, sometimes with dots, slashes, or from the root. */
static const char *path(int which)
{
	char *p = path_space[which];
	*p = 0;
	if (below(12) == 0)
		strcpy(p, "/");
	int parts = 1 + below(3);
	for (int i = 0; i < parts; i++) {
		if (i)
			strcat(p, below(15) ? "/" : "//");
		unsigned kind = below(30);
		strcat(p, kind == 0 ? "." : kind == 1 ? ".." : names[below(5)]);
	}
	if (below(25) == 0)
		strcat(p, "/");
	if (below(200) == 0)
		*p = 0;
	return p;
}

#define FDS 6
static int fds[FDS] = { -1, -1, -1, -1, -1, -1 };

static int slot(void)
{
	return below(FDS);
}

static unsigned step;
static void result(long value)
{
	int error = errno;
	if (value == -1)
		printf(" = %s\n", error_name(error));
	else
		printf(" = %ld\n", value);
}
#define call(value) (errno = 0, result((long)(value)))

static unsigned sum(const char *bytes, long n)
{
	unsigned h = 5381;
	for (long i = 0; i < n; i++)
		h = h * 33 + (unsigned char)bytes[i];
	return h;
}

static void show_stat(long ret, const struct stat *st)
{
	int error = errno;
	if (ret) {
		printf(" = %s\n", error_name(error));
		return;
	}
	printf(" = mode %o nlink %d uid %d gid %d size %ld blocks %ld\n", st->st_mode, (int)st->st_nlink, st->st_uid, st->st_gid,
	       S_ISDIR(st->st_mode) ? 0L : (long)st->st_size, (long)st->st_blocks);
}

static char buffer[40000];
static char data[40000];

static unsigned size(void)
{
	static const unsigned sizes[] = { 0, 1, 7, 100, 4095, 4096, 4097, 5000, 8192, 12288, 20000 };
	return sizes[below(11)];
}

static void list(const char *name)
{
	DIR *d = opendir(name);
	printf("list %s", name);
	if (!d) {
		call(-1);
		return;
	}
	struct dirent *e;
	int n = 0;
	while ((e = readdir(d)) && n++ < 100)
		printf(" %s:%d", e->d_name, e->d_type);
	closedir(d);
	puts("");
}

static void one(void)
{
	static const int access_modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const int open_flags[] = { 0, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH,
					  O_CREAT | O_APPEND, O_TMPFILE };
	struct stat st, st2;
	int s = slot(), t = slot();
	const char *p = path(0), *q = path(1);
	unsigned a = size(), b = size();
	printf("%u ", step);
	switch (below(40)) {
	case 0 ... 5: {
		int flags = access_modes[below(3)] | open_flags[below(12)], mode = 0600 + below(64);
		if (fds[s] >= 0)
			close(fds[s]);
		printf("open %s %o %o", p, flags, mode);
		errno = 0;
		fds[s] = open(p, flags, mode);
		result(fds[s] < 0 ? -1 : 0);
		break;
	}
	case 6 ... 8: {
		printf("write %d %u", s, a);
		call(write(fds[s], data + b, a));
		break;
	}
	case 9 ... 10: {
		printf("read %d %u", s, a);
		errno = 0;
		long n = read(fds[s], buffer, a);
		int error = errno;
		printf(" sum %x", n > 0 ? sum(buffer, n) : 0);
		errno = error;
		result(n);
		break;
	}
	case 11:
		printf("pwrite %d %u at %u", s, a, b);
		call(pwrite(fds[s], data, a, b));
		break;
	case 12: {
		printf("pread %d %u at %u", s, a, b);
		errno = 0;
		long n = pread(fds[s], buffer, a, b);
		int error = errno;
		printf(" sum %x", n > 0 ? sum(buffer, n) : 0);
		errno = error;
		result(n);
		break;
	}
	case 13: {
		int whence = below(6);
		long offset = (long)a - (long)b;
		printf("lseek %d %ld %d", s, offset, whence);
		errno = 0;
		long n = lseek(fds[s], offset, whence);
		/* positions in a directory are the file system's business */
		if (n >= 0 && fstat(fds[s], &st) == 0 && S_ISDIR(st.st_mode))
			n = 0;
		result(n);
		break;
	}
	case 14:
		printf("ftruncate %d %u", s, a);
		call(ftruncate(fds[s], a));
		break;
	case 15:
		printf("truncate %s %u", p, a);
		call(truncate(p, a));
		break;
	case 16:
		printf("mkdir %s", p);
		call(mkdir(p, 0700 + below(64)));
		break;
	case 17:
		printf("rmdir %s", p);
		call(rmdir(p));
		break;
	case 18 ... 19:
		printf("unlink %s", p);
		call(unlink(p));
		break;
	case 20 ... 21:
		printf("rename %s %s", p, q);
		call(rename(p, q));
		break;
	case 22: {
		int flags = 1 + below(3);
		printf("renameat2 %s %s %d", p, q, flags);
		call(renameat2(AT_FDCWD, p, AT_FDCWD, q, flags));
		break;
	}
	case 23 ... 24:
		printf("link %s %s", p, q);
		call(below(2) ? link(p, q) : linkat(AT_FDCWD, p, AT_FDCWD, q, AT_SYMLINK_FOLLOW));
		break;
	case 25 ... 26:
		printf("symlink %s %s", q, p);
		call(symlink(q, p));
		break;
	case 27: {
		printf("readlink %s", p);
		errno = 0;
		long n = readlink(p, buffer, 100);
		printf(" %.*s", n > 0 ? (int)n : 0, buffer);
		result(n);
		break;
	}
	case 28:
		printf("stat %s", p);
		show_stat((errno = 0, stat(p, &st)), &st);
		break;
	case 29:
		printf("lstat %s", p);
		show_stat((errno = 0, lstat(p, &st)), &st);
		break;
	case 30:
		printf("fstat %d", s);
		show_stat((errno = 0, fstat(fds[s], &st)), &st);
		break;
	case 31:
		list(p);
		break;
	case 32: {
		int mode = below(512);
		printf("chmod %s %o", p, mode);
		call(chmod(p, mode | 0600));
		break;
	}
	case 33: {
		int mode = below(4) ? FALLOC_FL_KEEP_SIZE : 0;
		if (below(2))
			mode |= FALLOC_FL_PUNCH_HOLE;
		printf("fallocate %d %d %u %u", s, mode, a, b);
		call(fallocate(fds[s], mode, a, b));
		break;
	}
	case 34:
		printf("same %s %s", p, q);
		if (stat(p, &st) || stat(q, &st2))
			call(-1);
		else
			call(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
		break;
	case 35: {
		off_t from = a, to = b;
		unsigned length = size();
		if (below(2)) {
			printf("copy_file_range %d %d %u", s, t, length);
			call(copy_file_range(fds[s], below(2) ? NULL : &from, fds[t], below(2) ? NULL : &to, length, 0));
		} else {
			printf("sendfile %d %d %u", s, t, length);
			call(sendfile(fds[s], fds[t], below(2) ? NULL : &from, length));
		}
		break;
	}
	case 36: {
		struct iovec vec[3] = { { buffer, a }, { buffer + 20000, b / 2 }, { buffer, 10 } };
		int n = 1 + below(3);
		printf("readv %d %d", s, n);
		call(readv(fds[s], vec, n));
		break;
	}
	case 37:
		printf("access %s", p);
		call(access(p, below(8)));
		break;
	case 38: {
		printf("map %d at %u", s, a & ~4095);
		char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fds[s], a & ~4095);
		if (m == MAP_FAILED) {
			call(-1);
			break;
		}
		printf(" %s", try_read(m));
		printf(" %s", try_write(m + 5000));
		munmap(m, 8192);
		call(0);
		break;
	}
	case 39:
		if (below(3) == 0) {
			printf("chdir %s", p);
			call(chdir(p));
			printf("%u getcwd ", step);
			errno = 0;
			printf("%s\n", getcwd(buffer, 200) ? buffer : error_name(errno));
			if (below(3))
				chdir("/");
		} else {
			printf("dup %d to %d", s, t);
			if (fds[t] >= 0)
				close(fds[t]);
			fds[t] = dup(fds[s]);
			call(fds[t] < 0 ? -1 : fcntl(fds[t], F_GETFL));
		}
		break;
	}
}

/* The whole tree, contents included. */
static void tree(const char *name)
{
	struct stat st;
	if (lstat(*name ? name : "/", &st))
		return;
	printf("%s mode %o nlink %d", name, st.st_mode, (int)st.st_nlink);
	if (S_ISREG(st.st_mode)) {
		int fd = open(name, O_RDONLY);
		unsigned h = 0;
		long n;
		while ((n = read(fd, buffer, sizeof(buffer))) > 0)
			h = h * 31 + sum(buffer, n);
		close(fd);
		printf(" size %ld blocks %ld sum %x\n", (long)st.st_size, (long)st.st_blocks, h);
	} else if (S_ISLNK(st.st_mode)) {
		char text[200];
		long n = readlink(name, text, 199);
		printf(" -> %.*s\n", (int)n, text);
	} else if (S_ISDIR(st.st_mode)) {
		puts("");
		DIR *d = opendir(*name ? name : "/");
		struct dirent *e;
		while ((e = readdir(d)))
			if (e->d_name[0] != '.') {
				char below[400];
				snprintf(below, sizeof(below), "%s/%s", name, e->d_name);
				if (strlen(below) < 150)
					tree(below);
			}
		closedir(d);
	} else
		puts("");
}

int main(int argc, char **argv)
{
	unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	unsigned count = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;
	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = below(256);
	catch_faults();
	umask(022);
	/* nothing above it is ours to compare */
	mkdir("/tmp/fz", 0755);
	if (chroot("/tmp/fz") || chdir("/"))
		return 1;
	for (step = 0; step < count; step++)
		one();
	chdir("/");
	tree("");
	return 0;
}
