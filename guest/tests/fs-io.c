/* Moving bytes: read and write with all their relatives, faults in the middle, limits, splice and friends. */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void *volatile nowhere = (void *)16;
static char *edge; /* the last byte before unmapped memory is edge[-1] */

static int fresh(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	write(fd, text, strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void show_file(int fd)
{
	char buf[200];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] == 0)
			buf[i] = '.';
	buf[n < 0 ? 0 : n] = 0;
	printf("contents \"%s\" pos %ld\n", buf, (long)lseek(fd, 0, SEEK_CUR));
}

static void positions(void)
{
	char buf[100] = "";
	int fd = fresh("pos", "0123456789");
	show("read", read(fd, buf, 3));
	show("pread", pread(fd, buf, 3, 8));
	show("pread at the end", pread(fd, buf, 3, 10));
	show("pread beyond", pread(fd, buf, 3, 100));
	show("pread negative", pread(fd, buf, 3, -1));
	show("pwrite", pwrite(fd, "AB", 2, 5));
	show("pwrite beyond", pwrite(fd, "Z", 1, 14));
	show_file(fd);
	show("lseek end", lseek(fd, -2, SEEK_END));
	show("lseek before the start", lseek(fd, -100, SEEK_CUR));
	show("lseek whence", lseek(fd, 0, 9));
	show("lseek far", lseek(fd, 1000, SEEK_SET));
	show("read there", read(fd, buf, 10));
	show("write there", write(fd, "!", 1));
	struct stat st;
	fstat(fd, &st);
	printf("size %ld blocks %ld\n", (long)st.st_size, (long)st.st_blocks);
	show("append", fcntl(fd, F_SETFL, O_APPEND));
	lseek(fd, 0, SEEK_SET);
	show("write appends", write(fd, "end", 3));
	show("pwrite appends too", pwrite(fd, "more", 4, 0));
	fstat(fd, &st);
	printf("size %ld pos %ld\n", (long)st.st_size, (long)lseek(fd, 0, SEEK_CUR));
	close(fd);

	fd = open("sparse", O_RDWR | O_CREAT | O_TRUNC, 0644);
	pwrite(fd, "x", 1, 40960);
	show("SEEK_DATA", lseek(fd, 0, SEEK_DATA));
	show("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE));
	show("SEEK_HOLE in data", lseek(fd, 40960, SEEK_HOLE));
	show("SEEK_DATA beyond", lseek(fd, 50000, SEEK_DATA));
	show("fallocate", fallocate(fd, 0, 0, 8192));
	show("SEEK_DATA allocated", lseek(fd, 0, SEEK_DATA));
	show("SEEK_HOLE allocated", lseek(fd, 0, SEEK_HOLE));
	fstat(fd, &st);
	printf("size %ld blocks %ld\n", (long)st.st_size, (long)st.st_blocks);
	show("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	show("punch without keep", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	show("collapse", fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	show("fallocate length 0", fallocate(fd, 0, 0, 0));
	show("fallocate keep", fallocate(fd, FALLOC_FL_KEEP_SIZE, 81920, 4096));
	fstat(fd, &st);
	printf("size %ld blocks %ld\n", (long)st.st_size, (long)st.st_blocks);
	show("ftruncate", ftruncate(fd, 4097));
	fstat(fd, &st);
	printf("size %ld blocks %ld\n", (long)st.st_size, (long)st.st_blocks);
	show("ftruncate negative", ftruncate(fd, -1));
	int n;
	lseek(fd, 97, SEEK_SET);
	show("FIONREAD", ioctl(fd, FIONREAD, &n));
	printf("%d\n", n);
	show("TCGETS", ioctl(fd, TCGETS, buf));
	show("unknown ioctl", ioctl(fd, 0x12345678, buf));
	show("fsync", fsync(fd));
	show("fdatasync", fdatasync(fd));
	show("fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	show("fadvise bad", posix_fadvise(fd, 0, 0, 77));
	close(fd);
}

static void faults(void)
{
	char buf[100];
	int fd = fresh("fault", "0123456789");
	show("read to nowhere", read(fd, nowhere, 5));
	show("pos after", lseek(fd, 0, SEEK_CUR));
	show("read to the edge", read(fd, edge - 4, 10));
	show("pos after", lseek(fd, 0, SEEK_CUR));
	show("write from nowhere", write(fd, nowhere, 5));
	memcpy(edge - 4, "WXYZ", 4);
	lseek(fd, 0, SEEK_SET);
	show("write from the edge", write(fd, edge - 4, 10));
	show_file(fd);
	show("write huge", syscall(SYS_write, fd, buf, -1L));
	show("write kernel address", syscall(SYS_write, fd, -4096L, 5));
	show("read 0 to nowhere", read(fd, nowhere, 0));
	show("write 0 from nowhere", write(fd, nowhere, 0));

	volatile int many = 1025;
	struct iovec vec[3] = { { buf, 3 }, { nowhere, 3 }, { buf, 3 } };
	lseek(fd, 0, SEEK_SET);
	show("readv with a bad one", readv(fd, vec, 3));
	show("pos after", lseek(fd, 0, SEEK_CUR));
	show("writev with a bad one", writev(fd, vec, 3));
	show("pos after", lseek(fd, 0, SEEK_CUR));
	show("readv too many", readv(fd, vec, many));
	show("readv none", readv(fd, vec, 0));
	show("readv bad vector", readv(fd, nowhere, 2));
	vec[1].iov_len = -1;
	show("readv negative", readv(fd, vec, 3));
	vec[0] = (struct iovec){ "one", 3 };
	vec[1] = (struct iovec){ NULL, 0 };
	vec[2] = (struct iovec){ "three", 5 };
	lseek(fd, 0, SEEK_SET);
	show("writev", writev(fd, vec, 3));
	show("pwritev", pwritev(fd, vec, 3, 20));
	show("pwritev2 append", pwritev2(fd, vec, 1, 0, RWF_APPEND));
	show("pwritev2 own position", pwritev2(fd, vec, 1, -1, 0));
	show("preadv2 bad flags", preadv2(fd, vec, 1, 0, 0x8000));
	show_file(fd);

	int p[2];
	pipe2(p, O_NONBLOCK);
	show("pipe: write from the edge", write(p[1], edge - 4, 10));
	show("pipe: in it", read(p[0], buf, 100));
	write(p[1], "0123456789", 10);
	show("pipe: read to nowhere", read(p[0], nowhere, 5));
	show("pipe: read to the edge", read(p[0], edge - 4, 10));
	show("pipe: the rest", read(p[0], buf, 100));
	show("pread of a pipe", pread(p[0], buf, 1, 0));
	show("pwrite of a pipe", pwrite(p[1], buf, 1, 0));
	show("lseek of a pipe", lseek(p[0], 0, SEEK_CUR));
	show("ftruncate of a pipe", ftruncate(p[1], 0));
	show("fallocate of a pipe", fallocate(p[1], 0, 0, 1));
	show("fsync of a pipe", fsync(p[1]));
	show("fadvise of a pipe", posix_fadvise(p[0], 0, 0, 0));
	show("sync_file_range of a pipe", sync_file_range(p[0], 0, 0, 0));
	show("readahead of a pipe", readahead(p[0], 0, 10));
	close(p[0]);
	close(p[1]);
	close(fd);
}

static volatile int xfsz;
static void on_xfsz(int sig)
{
	xfsz = sig;
}

static void limits(void)
{
	signal(SIGXFSZ, on_xfsz);
	struct rlimit limit = { 100, 100 };
	setrlimit(RLIMIT_FSIZE, &limit);
	char buf[300] = "";
	int fd = fresh("limit", "");
	show("write to the limit", write(fd, buf, 99));
	show("write over the limit", write(fd, buf, 50));
	printf("signal %d\n", xfsz);
	show("write at the limit", write(fd, buf, 50));
	printf("signal %d\n", xfsz);
	xfsz = 0;
	show("ftruncate over the limit", ftruncate(fd, 101));
	printf("signal %d\n", xfsz);
	xfsz = 0;
	show("fallocate over the limit", fallocate(fd, 0, 0, 200));
	printf("signal %d\n", xfsz);
	show("ftruncate down", ftruncate(fd, 10));
	signal(SIGXFSZ, SIG_DFL);
	lseek(fd, 500, SEEK_SET);
	write(fd, "x", 1);
	puts("not reached");
}

static void pieces(void)
{
	char buf[200] = "";
	int in = fresh("in", "The quick brown fox"), out = fresh("out", "");
	int p[2], q[2];
	pipe2(p, O_NONBLOCK);
	pipe2(q, O_NONBLOCK);
	off_t off = 4, off2 = 3;
	show("sendfile", sendfile(out, in, NULL, 9));
	show("sendfile offset", sendfile(out, in, &off, 5));
	printf("off %ld\n", (long)off);
	show_file(in);
	show_file(out);
	show("sendfile at the end", sendfile(out, in, &(off_t){ 1000 }, 5));
	show("sendfile rest", sendfile(out, in, NULL, 1000));
	show("sendfile nothing left", sendfile(out, in, NULL, 1000));
	show("sendfile from a pipe", sendfile(out, p[0], NULL, 5));
	show("sendfile offset of a pipe", sendfile(out, p[0], &off, 5));
	show("sendfile to read-only", sendfile(p[0], in, NULL, 5));
	off = -1;
	show("sendfile negative", sendfile(out, in, &off, 5));
	lseek(in, 0, SEEK_SET);
	show("sendfile to a pipe", sendfile(p[1], in, NULL, 7));
	show("read it", read(p[0], buf, 100));
	fcntl(out, F_SETFL, O_APPEND);
	show("sendfile to an append file", sendfile(out, in, NULL, 5));
	fcntl(out, F_SETFL, 0);

	show("splice file to pipe", splice(in, &off2, p[1], NULL, 5, 0));
	printf("off %ld\n", (long)off2);
	show("splice pipe to pipe", splice(p[0], NULL, q[1], NULL, 3, 0));
	show("tee", tee(q[0], p[1], 100, 0));
	memset(buf, 0, 100);
	show("read first", read(p[0], buf, 100));
	puts(buf);
	memset(buf, 0, 100);
	show("splice pipe to file", splice(q[0], NULL, out, NULL, 100, 0));
	show_file(out);
	show("splice empty pipe", splice(q[0], NULL, out, NULL, 100, 0));
	show("splice file to file", splice(in, NULL, out, NULL, 100, 0));
	show("splice with pipe offset", splice(p[0], &off2, out, NULL, 100, 0));
	show("splice same pipe", splice(p[0], NULL, p[1], NULL, 100, 0));
	show("splice bad flags", splice(in, NULL, p[1], NULL, 1, 0x100));
	show("splice wrong end", splice(in, NULL, p[0], NULL, 1, 0));
	show("splice nothing", splice(in, NULL, p[0], NULL, 0, 0));
	lseek(in, 0, SEEK_END);
	show("splice at the end of the file", splice(in, NULL, p[1], NULL, 5, 0));
	show("tee empty", tee(p[0], q[1], 5, 0));
	show("tee file", tee(in, q[1], 5, 0));
	struct iovec vec[2] = { { "vm", 2 }, { "splice", 6 } };
	show("vmsplice", vmsplice(p[1], vec, 2, 0));
	memset(buf, 0, 100);
	show("read it", read(p[0], buf, 100));
	puts(buf);
	show("vmsplice file", vmsplice(out, vec, 2, 0));

	off = 2;
	off2 = 0;
	show("copy_file_range", copy_file_range(in, &off, out, &off2, 6, 0));
	printf("offs %ld %ld\n", (long)off, (long)off2);
	show_file(out);
	off = 0;
	off2 = 3;
	show("copy_file_range overlapping", copy_file_range(in, &off, in, &off2, 6, 0));
	off2 = 19;
	show("copy_file_range same file", copy_file_range(in, &off, in, &off2, 6, 0));
	show("copy_file_range flags", copy_file_range(in, &off, out, &off2, 6, 1));
	show("copy_file_range pipe", copy_file_range(p[0], NULL, out, &off2, 6, 0));
	off = 1000;
	show("copy_file_range at the end", copy_file_range(in, &off, out, &off2, 6, 0));
	int dir = open(".", O_RDONLY);
	show("copy_file_range directory", copy_file_range(dir, NULL, out, NULL, 6, 0));
	show("sendfile directory", sendfile(out, dir, NULL, 5));
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
	show("write null", write(null, buf, 100));
	show("read null", read(null, buf, 100));
	show("read zero", read(zero, buf, 100));
	show("read full", read(full, buf, 100));
	show("write full", write(full, buf, 100));
	show("lseek null", lseek(null, 55, SEEK_SET));
	show("pread zero", pread(zero, buf, 10, 1000));
	char *big = malloc(3 << 20);
	show("read 3 MiB of zero", read(zero, big, 3 << 20));
	show("write 3 MiB", pwrite(out, big, 3 << 20, 0));
	show("read 3 MiB", pread(out, big, 3 << 20, 5));
	show("sendfile 3 MiB to null", sendfile(null, out, &(off_t){ 0 }, 3 << 20));
	show("fsync null", fsync(null));
	show("ftruncate null", ftruncate(null, 0));
}

int main(void)
{
	mkdir("/tmp/fs-io", 0755);
	if (chdir("/tmp/fs-io"))
		return 1;
	char *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(map + PAGE, PAGE);
	edge = map + PAGE;
	positions();
	faults();
	int status = in_child(limits());
	printf("child %x\n", status);
	pieces();
	return 0;
}
