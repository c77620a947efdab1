/* mount(2) and its neighbours, chroot, statfs flags, read-only and nodev mounts. */
#include "check.h"
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static void mounts_below(const char *prefix)
{
	FILE *f = fopen("/proc/self/mounts", "r");
	char line[500];
	while (fgets(line, sizeof(line), f))
		if (strstr(line, prefix))
			fputs(line, stdout);
	fclose(f);
}

static int opened(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : -1;
}

int main(void)
{
	mkdir("/tmp/m", 0755);
	if (mount("base", "/tmp/m", "tmpfs", 0, "size=2M,mode=750"))
		return 1;
	chdir("/tmp/m");
	mounts_below("/tmp/m");
	struct stat st;
	stat("/tmp/m", &st);
	printf("mode %o\n", st.st_mode);
	struct statvfs v;
	statvfs("/tmp/m", &v);
	printf("blocks %ld bsize %ld flags %lx\n", (long)v.f_blocks, (long)v.f_bsize, v.f_flag);
	mkdir("a", 0755);
	mkdir("b", 0755);
	mkdir("a/in-a", 0755);
	close(creat("a/file", 0644));
	close(creat("plain", 0644));
	show("mount on a file", mount("x", "plain", "tmpfs", 0, NULL));
	show("mount missing", mount("x", "none", "tmpfs", 0, NULL));
	show("mount no such type", mount("x", "b", "nosuchfs", 0, NULL));
	show("mount null type", mount("x", "b", NULL, 0, NULL));
	show("mount bad options", mount("x", "b", "tmpfs", 0, "size=what"));
	show("mount unknown options", mount("x", "b", "tmpfs", 0, "foo=1"));
	show("mount", mount("inner", "b", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	mounts_below("/tmp/m/b");
	mknod("b/null", S_IFCHR | 0666, makedev(1, 3));
	show("device on nodev", opened(open("b/null", O_RDONLY)));
	close(creat("b/x", 0755));
	show("execute on noexec", execl("b/x", "x", NULL));
	show("access X on noexec", access("b/x", X_OK));
	int fd = open("b/x", O_RDWR);
	show("map executable on noexec", mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	show("umount busy", umount("b"));
	show("remount read-only while written", mount("", "b", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	close(fd);
	show("remount read-only", mount("", "b", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	show("creat", opened(creat("b/y", 0644)));
	show("open for writing", opened(open("b/x", O_WRONLY)));
	show("open for reading", opened(open("b/x", O_RDONLY)));
	show("unlink", unlink("b/x"));
	show("chmod", chmod("b/x", 0600));
	show("mkdir existing", mkdir("b/x", 0755));
	show("mkdir", mkdir("b/z", 0755));
	show("rename", rename("b/x", "b/w"));
	show("access W", access("b/x", W_OK));
	show("truncate", truncate("b/x", 0));
	show("utimes", utimensat(AT_FDCWD, "b/x", NULL, 0));
	show("rename of a mount point", rename("b", "c"));
	show("rmdir of a mount point", rmdir("b"));
	show("umount", umount("b"));
	show("umount again", umount("b"));
	show("umount missing", umount("none"));
	show("umount flags", umount2("b", 0x100));

	show("bind", mount("a", "b", NULL, MS_BIND, NULL));
	show("seen through", access("b/file", F_OK));
	show("link across a bind", link("b/file", "a/file2"));
	show("rename across a bind", rename("b/file", "a/file2"));
	show("bind a file on a directory", mount("plain", "b", NULL, MS_BIND, NULL));
	show("bind a file on a file", mount("plain", "a/file", NULL, MS_BIND, NULL));
	mounts_below("/tmp/m/a/file");
	show("umount the file", umount("a/file"));
	show("umount the bind", umount("b"));
	show("move", mount("x", "b", "tmpfs", 0, NULL));
	close(creat("b/moved", 0644));
	show("move", mount("b", "a", NULL, MS_MOVE, NULL));
	show("it is there", access("a/moved", F_OK));
	show("and not here", access("b/moved", F_OK));
	show("lazy umount in use", (chdir("a"), umount2("/tmp/m/a", MNT_DETACH)));
	show("still works", access("moved", F_OK));
	chdir("/tmp/m");
	show("gone", access("a/moved", F_OK));
	show("and what was under it is back", access("a/file", F_OK));

	/* two on one place */
	mount("one", "b", "tmpfs", 0, NULL);
	close(creat("b/one", 0644));
	mount("two", "b", "tmpfs", 0, NULL);
	show("the upper one", access("b/one", F_OK));
	umount("b");
	show("the lower one", access("b/one", F_OK));
	umount("b");

	/* size limit */
	mount("small", "b", "tmpfs", 0, "size=16k");
	fd = creat("b/full", 0644);
	char buf[20000] = "";
	show("write more than fits", write(fd, buf, sizeof(buf)));
	show("write more", write(fd, buf, 1000));
	struct stat full;
	fstat(fd, &full);
	printf("size %ld\n", (long)full.st_size);
	show("a new empty file", opened(creat("b/empty", 0644)));
	fd = open("b/full", O_RDWR);
	ftruncate(fd, 40960);
	char *m = mmap(NULL, 40960, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	catch_faults();
	printf("touch what is there: %s\n", try_write(m));
	printf("touch what does not fit: %s\n", try_write(m + 32768));
	munmap(m, 40960);
	close(fd);

	/* chroot */
	in_child({
		show("chroot", chroot("/tmp/m/a"));
		chdir("/");
		show("dotdot stays", access("../../file", F_OK));
		show("absolute link", symlink("/file", "/link"));
		show("follows inside", access("/link", F_OK));
		char cwd[100];
		puts(getcwd(cwd, sizeof(cwd)));
		show("the rest is not there", access("/tmp", F_OK));
	});
	in_child({
		chdir("/tmp");
		setgid(1000);
		setuid(1000);
		show("mount as a user", mount("x", ".", "tmpfs", 0, NULL));
		show("umount as a user", umount("m"));
		show("enter a closed mount", chdir("m"));
	});
	show("pivot_root of the first root", syscall(SYS_pivot_root, "/tmp/m", "/tmp/m/a"));
	chdir("/");
	close(open("/tmp/m/plain", O_RDONLY));
	show("umount with a mount in it", umount("/tmp/m"));
	show("umount inner", umount("/tmp/m/b"));
	return 0;
}
