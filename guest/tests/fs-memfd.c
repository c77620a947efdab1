/* memfd_create, seals, mappings of files and memfds. */
#include "check.h"
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif

static int sealed(const char *name, int seals)
{
	int fd = memfd_create(name, MFD_ALLOW_SEALING);
	ftruncate(fd, 8192);
	show("add seals", fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

int main(void)
{
	char name[300], buf[200];
	memset(name, 'm', sizeof(name));
	name[250] = 0;
	show("name of 250", memfd_create(name, 0));
	name[249] = 0;
	int fd = memfd_create(name, 0);
	printf("name of 249: %d\n", fd >= 0);
	close(fd);
	show("bad flags", memfd_create("x", 0x100));
	show("both exec flags", memfd_create("x", 0x18));
	show("bad name", memfd_create((void *)8, 0));
	fd = memfd_create("plain", MFD_CLOEXEC);
	printf("F_GETFL %o F_GETFD %d\n", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	struct stat st;
	fstat(fd, &st);
	printf("mode %o nlink %d size %ld\n", st.st_mode, (int)st.st_nlink, (long)st.st_size);
	char path[50];
	sprintf(path, "/proc/self/fd/%d", fd);
	int n = readlink(path, buf, sizeof(buf) - 1);
	buf[n] = 0;
	puts(buf);
	show("seals without MFD_ALLOW_SEALING", fcntl(fd, F_GET_SEALS));
	show("add", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	show("write", write(fd, "hello", 5));
	int again = open(path, O_RDONLY);
	show("opened again", read(again, buf, 10));
	show("write to that", write(again, "x", 1));
	show("map", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED ? -1 : 0);
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	m[0] = 'J';
	lseek(again, 0, SEEK_SET);
	n = read(again, buf, 10);
	printf("%.*s\n", n, buf);
	catch_faults();
	printf("beyond the end: %s\n", try_read(m + 4096));
	ftruncate(fd, 8192);
	printf("after growing: %s\n", try_read(m + 4096));
	ftruncate(fd, 0);
	printf("after shrinking: %s\n", try_read(m));
	munmap(m, 8192);
	close(fd);

	fd = memfd_create("noexec", MFD_NOEXEC_SEAL);
	fstat(fd, &st);
	printf("mode %o seals %x\n", st.st_mode, fcntl(fd, F_GET_SEALS));
	show("chmod +x", fchmod(fd, 0777));
	close(fd);

	fd = sealed("shrink", F_SEAL_SHRINK);
	show("shrink", ftruncate(fd, 4096));
	show("grow", ftruncate(fd, 16384));
	fd = sealed("grow", F_SEAL_GROW);
	show("shrink", ftruncate(fd, 4096));
	show("grow", ftruncate(fd, 16384));
	show("write inside", pwrite(fd, "x", 1, 10));
	show("write beyond", pwrite(fd, "x", 1, 5000));
	show("write across", pwrite(fd, "xxxx", 4, 4094));
	show("fallocate beyond", fallocate(fd, 0, 0, 5000));
	fd = sealed("write", F_SEAL_WRITE);
	show("write", pwrite(fd, "x", 1, 0));
	show("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	show("shrink", ftruncate(fd, 4096));
	show("map shared writable", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	show("map shared readable", (m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED ? -1 : 0);
	show("make it writable", mprotect(m, 4096, PROT_READ | PROT_WRITE));
	show("map private writable", mmap(NULL, 4096, PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	fd = memfd_create("busy", MFD_ALLOW_SEALING);
	ftruncate(fd, 8192);
	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	show("seal write while mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	show("seal future write while mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	m[1] = 7;
	show("write", pwrite(fd, "x", 1, 0));
	show("map again", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	munmap(m, 4096);
	show("seal write", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	show("seal seal", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	show("seal more", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	printf("seals %x\n", fcntl(fd, F_GET_SEALS));
	show("unknown seal", fcntl(sealed("x", 0), F_ADD_SEALS, 0x1000));
	fd = open("/tmp/fs-memfd", O_CREAT | O_RDWR, 0644);
	show("seals of a file on tmpfs", fcntl(fd, F_GET_SEALS));
	show("map of a directory", mmap(NULL, 4096, PROT_READ, MAP_SHARED, open("/tmp", O_RDONLY), 0) == MAP_FAILED ? -1 : 0);
	fd = open("/tmp/fs-memfd", O_WRONLY);
	show("map of O_WRONLY", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	int zero = open("/dev/zero", O_RDWR);
	m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
	m[0] = 1;
	in_child(printf("shared /dev/zero: %d\n", m[0]); m[0] = 2);
	printf("and back: %d\n", m[0]);
	m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
	m[0] = 1;
	in_child(m[0] = 2);
	printf("private /dev/zero: %d\n", m[0]);
	return 0;
}
