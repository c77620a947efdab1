/* hugetlb-file.c: files of huge pages: memfds and their seals, System V segments, hugetlbfs with its options, sizes and holes. */
#include "hugetlb.h"
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/statfs.h>

static void file_counts(const char *name, int fd)
{
	struct stat st;
	fstat(fd, &st);
	printf("%s: size %ld, %ld blocks of 512\n", name, (long)st.st_size, (long)st.st_blocks);
}

static void memfds(void)
{
	put(POOL, "8");
	struct stat st;
	struct statfs fs;
	char text[64] = "";
	int fd = memfd_create("x", MFD_HUGETLB);
	fstat(fd, &st);
	printf("memfd: mode %o, block size %ld\n", st.st_mode, (long)st.st_blksize);
	fstatfs(fd, &fs);
	printf("fstatfs: type %lx, block size %ld, %ld blocks\n", (long)fs.f_type, (long)fs.f_bsize, (long)fs.f_blocks);
	show("ftruncate to part of a page", ftruncate(fd, 4096));
	show("ftruncate", ftruncate(fd, (off_t)(2 * HUGE)));
	show("write", write(fd, "abc", 3));
	show("pwrite", pwrite(fd, "abc", 3, 0));
	show("read of a hole", read(fd, text, 1));
	show("SEEK_DATA", lseek(fd, 0, SEEK_DATA));
	show("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE));
	show("SEEK_END", lseek(fd, 0, SEEK_END));
	show("fsync", fsync(fd));
	char *shared = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *private = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	counts("mapped shared and private");
	smaps("shared", shared);
	write_to("shared", shared, 5);
	read_from("private", private);
	counts("one page for both");
	write_to("private", private, 6);
	counts("a copy");
	read_from("shared", shared);
	file_counts("one page", fd);
	show("pread", pread(fd, text, 8, 0));
	printf("first byte: %d\n", text[0]);
	show("PUNCH_HOLE in a page", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	read_from("shared", shared);
	read_from("private", private);
	counts("nothing freed");
	write_to("shared", shared, 5);
	show("PUNCH_HOLE", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)HUGE));
	read_from("private: its copy went too", private);
	read_from("shared", shared);
	counts("punched");
	show("PUNCH_HOLE alone", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, (off_t)HUGE));
	show("ZERO_RANGE", fallocate(fd, 16, 0, (off_t)HUGE));
	show("fallocate", fallocate(fd, 0, 0, (off_t)(3 * HUGE)));
	file_counts("grown", fd);
	counts("allocated");
	show("fallocate of part of a page", fallocate(fd, 0, (off_t)(3 * HUGE), 4096));
	file_counts("an odd size", fd);
	counts("allocated");
	show("fallocate of too much", fallocate(fd, 0, 0, (off_t)(20 * HUGE)));
	file_counts("what could be had", fd);
	counts("too much");
	show("ftruncate", ftruncate(fd, (off_t)HUGE));
	counts("truncated");
	read_from("beyond the end", shared + HUGE);
	write_to("beyond the end, private", private + HUGE, 1);
	char *at = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(4 * HUGE));
	file_counts("a writable mapping extends it", fd);
	counts("reserved");
	munmap(at, HUGE);
	at = mmap(NULL, HUGE, PROT_READ, MAP_SHARED, fd, (off_t)(6 * HUGE));
	file_counts("a read-only one does not", fd);
	counts("reserved");
	read_from("beyond the end", at);
	munmap(at, HUGE);
	counts("reserved as before");
	show("an offset inside of a page", mmap(NULL, HUGE, PROT_READ, MAP_SHARED, fd, 4096));
	at = mmap(NULL, HUGE, PROT_READ, MAP_SHARED | MAP_HUGETLB, fd, 0);
	printf("MAP_HUGETLB with it: %d\n", at != MAP_FAILED);
	munmap(at, HUGE);
	at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	smaps("a length of 4096", at);
	munmap(at, HUGE);
	munmap(shared, 2 * HUGE);
	counts("the shared one unmapped");
	munmap(private, 2 * HUGE);
	counts("the private one unmapped");
	ftruncate(fd, 0);
	counts("empty");
	show("seals", fcntl(fd, F_GET_SEALS));
	show("F_ADD_SEALS", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	close(fd);
	counts("closed");
}

static void seals(void)
{
	struct stat st;
	int fd = memfd_create("y", MFD_HUGETLB | MFD_ALLOW_SEALING | 21u << 26);
	show("seals", fcntl(fd, F_GET_SEALS));
	ftruncate(fd, (off_t)(2 * HUGE));
	show("F_SEAL_SHRINK and GROW", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	show("shrink", ftruncate(fd, (off_t)HUGE));
	show("grow", ftruncate(fd, (off_t)(4 * HUGE)));
	show("the same", ftruncate(fd, (off_t)(2 * HUGE)));
	show("fallocate beyond", fallocate(fd, 0, 0, (off_t)(3 * HUGE)));
	show("fallocate", fallocate(fd, 0, 0, (off_t)HUGE));
	char *at = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	show("F_SEAL_WRITE while mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	munmap(at, HUGE);
	show("F_SEAL_WRITE", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	show("mmap", mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	show("PUNCH_HOLE", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)HUGE));
	close(fd);
	show("memfd of 64 KiB pages", memfd_create("z", MFD_HUGETLB | 16u << 26));
	fd = memfd_create("z", MFD_HUGETLB | 30u << 26);
	fstat(fd, &st);
	printf("memfd of 1 GiB pages: block size %ld\n", (long)st.st_blksize);
	show("mmap", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
	show("a size without MFD_HUGETLB", memfd_create("z", 21u << 26));
}

static void segments(void)
{
	int id = shmget(IPC_PRIVATE, HUGE + 1, IPC_CREAT | 0600 | SHM_HUGETLB);
	counts("a segment");
	struct shmid_ds ds;
	shmctl(id, IPC_STAT, &ds);
	printf("segment: size %ld, mode %o\n", (long)ds.shm_segsz, ds.shm_perm.mode);
	char *at = shmat(id, NULL, 0);
	printf("aligned: %d\n", ((unsigned long)at & (HUGE - 1)) == 0);
	smaps("segment", at);
	write_to("segment", at, 3);
	counts("a page");
	read_from("its third page", at + 2 * HUGE);
	show("shmat inside of a page", shmat(id, at + 4 * HUGE + 4096, 0));
	char *again = shmat(id, NULL, SHM_RDONLY);
	read_from("read-only", again);
	write_to("read-only", again, 1);
	show("shmdt", shmdt(again));
	show("munmap of part of a page", munmap(at, 4096));
	show("SHM_LOCK", shmctl(id, SHM_LOCK, NULL));
	show("shmdt", shmdt(at));
	counts("detached");
	shmctl(id, IPC_RMID, NULL);
	counts("removed");
	show("too much", shmget(IPC_PRIVATE, 20 * HUGE, IPC_CREAT | 0600 | SHM_HUGETLB));
	id = shmget(IPC_PRIVATE, 20 * HUGE, IPC_CREAT | 0600 | SHM_HUGETLB | SHM_NORESERVE);
	printf("SHM_NORESERVE: %d\n", id >= 0);
	counts("nothing reserved");
	shmctl(id, IPC_RMID, NULL);
	show("1 GiB pages", shmget(IPC_PRIVATE, HUGE, IPC_CREAT | 0600 | SHM_HUGETLB | 30 << 26));
	show("64 KiB pages", shmget(IPC_PRIVATE, HUGE, IPC_CREAT | 0600 | SHM_HUGETLB | 16 << 26));
	for (int group = 0; group < 2; group++) if (fork() == 0) {
		if (group)
			setgid(1000);
		setuid(1000);
		id = shmget(IPC_PRIVATE, HUGE, IPC_CREAT | 0600 | SHM_HUGETLB);
		printf("as a user of group %d: %s\n", group ? 1000 : 0, id < 0 ? error_name(errno) : "ok");
		if (id >= 0)
			shmctl(id, IPC_RMID, NULL);
		char *own = huge(HUGE, MAP_SHARED);
		printf("mmap as a user: %d\n", own != MAP_FAILED);
		exit(0);
	} else
			wait(NULL);
	counts("after users");
}

static void list(const char *path)
{
	struct statfs fs;
	struct stat st;
	statfs(path, &fs);
	stat(path, &st);
	printf("%s: type %lx, block size %ld, %ld blocks, %ld free; %ld files, %ld free; mode %o, owner %d:%d, size %ld\n", path, (long)fs.f_type, (long)fs.f_bsize, (long)fs.f_blocks, (long)fs.f_bfree, (long)fs.f_files, (long)fs.f_ffree, st.st_mode, st.st_uid, st.st_gid, (long)st.st_size);
	FILE *f = fopen("/proc/mounts", "r");
	char text[256];
	while (fgets(text, sizeof(text), f))
		if (strstr(text, path)) printf("%s", text);
	fclose(f);
}

static void mounts(void)
{
	mkdir("/tmp/h", 0755);
	show("mount of 64 KiB pages", mount("none", "/tmp/h", "hugetlbfs", 0, "pagesize=64k"));
	show("an unknown option", mount("none", "/tmp/h", "hugetlbfs", 0, "pages=3"));
	show("a minimum over the maximum", mount("none", "/tmp/h", "hugetlbfs", 0, "size=2M,min_size=4M"));
	show("a minimum over the pool", mount("none", "/tmp/h", "hugetlbfs", 0, "min_size=20M"));
	show("mount", mount("none", "/tmp/h", "hugetlbfs", 0, ""));
	list("/tmp/h");
	int fd = open("/tmp/h/a", O_RDWR | O_CREAT, 0640);
	char *at = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	write_to("a file", at, 1);
	file_counts("a", fd);
	smaps("a", at);
	show("umount", umount("/tmp/h"));
	munmap(at, HUGE);
	close(fd);
	show("mkdir", mkdir("/tmp/h/d", 0700));
	show("symlink", symlink("a", "/tmp/h/s"));
	show("mknod", mknod("/tmp/h/p", S_IFIFO | 0600, 0));
	show("link", link("/tmp/h/a", "/tmp/h/d/b"));
	show("rename", rename("/tmp/h/a", "/tmp/h/c"));
	show("rmdir", rmdir("/tmp/h/d"));
	fd = open("/tmp/h/d/b", O_RDONLY);
	char byte = 0;
	show("read", read(fd, &byte, 1));
	printf("it has %d\n", byte);
	close(fd);
	counts("the file keeps its page");
	show("umount", umount("/tmp/h"));
	counts("unmounted");
	show("mount", mount("none", "/tmp/h", "hugetlbfs", 0, "pagesize=2M,size=6M,min_size=4M,nr_inodes=5,mode=1770,uid=5,gid=6"));
	counts("a minimum of two");
	list("/tmp/h");
	fd = open("/tmp/h/a", O_RDWR | O_CREAT, 0640);
	show("ftruncate", ftruncate(fd, (off_t)(8 * HUGE)));
	at = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	counts("two mapped");
	list("/tmp/h");
	char *more = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(2 * HUGE));
	counts("three");
	show("four", mmap(NULL, HUGE, PROT_READ, MAP_SHARED, fd, (off_t)(3 * HUGE)));
	write_to("first", at, 1);
	write_to("third", more, 1);
	counts("two in use");
	list("/tmp/h");
	show("fallocate over the size", fallocate(fd, 0, 0, (off_t)(8 * HUGE)));
	counts("three in use");
	munmap(more, HUGE);
	munmap(at, 2 * HUGE);
	show("ftruncate", ftruncate(fd, (off_t)HUGE));
	counts("one in use");
	list("/tmp/h");
	show("ftruncate", ftruncate(fd, 0));
	counts("none");
	for (int i = 0; i < 5; i++) {
		char name[20];
		snprintf(name, sizeof(name), "/tmp/h/f%d", i);
		int other = open(name, O_RDWR | O_CREAT, 0600);
		printf("%s: %s\n", name, other < 0 ? error_name(errno) : "ok");
		close(other);
	}
	close(fd);
	show("umount", umount("/tmp/h"));
	counts("unmounted");
	show("a size in percent", mount("none", "/tmp/h", "hugetlbfs", 0, "size=50%"));
	list("/tmp/h");
	umount("/tmp/h");
	put(POOL, "0");
	counts("at last");
}

int main(void)
{
	catch_faults();
	memfds();
	seals();
	segments();
	mounts();
	return 0;
}
