/* User and group ids, supplementary groups, capabilities: what each call does to all of them. */
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#define KEEP ((uid_t)-1)

static void ids(const char *name)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	getresuid(&r, &e, &s);
	getresgid(&rg, &eg, &sg);
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	syscall(SYS_capget, &header, data);
	printf("%s: u %d %d %d %d g %d %d %d %d caps %x %x %x\n", name, r, e, s, (int)syscall(SYS_setfsuid, -1), rg, eg, sg, (int)syscall(SYS_setfsgid, -1),
	       data[0].effective, data[0].permitted, data[0].inheritable);
}

/* A call in a child that begins with these user ids. */
#define as(r, e, s, name, call)                         \
	in_child({                                      \
		if (syscall(SYS_setresuid, r, e, s))    \
			printf("cannot begin\n");       \
		show(name, call);                       \
		ids(name);                              \
	})

static void users(void)
{
	as(0, 0, 0, "root setuid 5", syscall(SYS_setuid, 5));
	as(5, 6, 7, "5 6 7 setuid 5", syscall(SYS_setuid, 5));
	as(5, 6, 7, "5 6 7 setuid 6", syscall(SYS_setuid, 6));
	as(5, 6, 7, "5 6 7 setuid 7", syscall(SYS_setuid, 7));
	as(5, 6, 7, "5 6 7 setuid 8", syscall(SYS_setuid, 8));
	as(5, 6, 7, "5 6 7 setuid -1", syscall(SYS_setuid, -1));
	as(5, 6, 7, "5 6 7 setreuid 6 5", syscall(SYS_setreuid, 6, 5));
	as(5, 6, 7, "5 6 7 setreuid 7 -1", syscall(SYS_setreuid, 7, -1));
	as(5, 6, 7, "5 6 7 setreuid -1 7", syscall(SYS_setreuid, -1, 7));
	as(5, 6, 7, "5 6 7 setreuid -1 5", syscall(SYS_setreuid, -1, 5));
	as(5, 6, 7, "5 6 7 setreuid -1 8", syscall(SYS_setreuid, -1, 8));
	as(5, 6, 7, "5 6 7 setreuid -1 -1", syscall(SYS_setreuid, -1, -1));
	as(5, 6, 7, "5 6 7 setresuid 7 5 6", syscall(SYS_setresuid, 7, 5, 6));
	as(5, 6, 7, "5 6 7 setresuid 8 5 6", syscall(SYS_setresuid, 8, 5, 6));
	as(0, 6, 7, "0 6 7 setresuid 0 0 0", syscall(SYS_setresuid, 0, 0, 0));
	as(0, 6, 0, "0 6 0 setuid 0", syscall(SYS_setuid, 0));
	as(0, 0, 7, "0 0 7 setreuid 7 -1", syscall(SYS_setreuid, 7, -1));
	as(0, 0, 7, "0 0 7 setreuid -1 7", syscall(SYS_setreuid, -1, 7));
	as(5, 6, 7, "5 6 7 setfsuid 5", syscall(SYS_setfsuid, 5));
	as(5, 6, 7, "5 6 7 setfsuid 9", syscall(SYS_setfsuid, 9));
	as(0, 0, 0, "root setfsuid 9", syscall(SYS_setfsuid, 9));
	in_child({
		prctl(PR_SET_KEEPCAPS, 1);
		syscall(SYS_setresuid, 5, 5, 5);
		ids("keepcaps");
		show("keepcaps setuid 0", syscall(SYS_setuid, 0));
		show("PR_GET_KEEPCAPS", prctl(PR_GET_KEEPCAPS));
	});
	in_child({
		show("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 1));
		prctl(PR_SET_PDEATHSIG, 9);
		syscall(SYS_setresuid, KEEP, 5, KEEP);
		int sig = -1;
		prctl(PR_GET_PDEATHSIG, &sig);
		printf("after a change: dumpable %d pdeath %d\n", prctl(PR_GET_DUMPABLE), sig);
	});
}

#define as_group(r, e, s, name, call)                   \
	in_child({                                      \
		syscall(SYS_setresgid, r, e, s);        \
		syscall(SYS_setresuid, 1, 1, 1);        \
		show(name, call);                       \
		ids(name);                              \
	})

static void groups(void)
{
	as_group(5, 6, 7, "5 6 7 setgid 7", syscall(SYS_setgid, 7));
	as_group(5, 6, 7, "5 6 7 setgid 6", syscall(SYS_setgid, 6));
	as_group(5, 6, 7, "5 6 7 setgid 8", syscall(SYS_setgid, 8));
	as_group(5, 6, 7, "5 6 7 setregid 6 5", syscall(SYS_setregid, 6, 5));
	as_group(5, 6, 7, "5 6 7 setregid 7 -1", syscall(SYS_setregid, 7, -1));
	as_group(5, 6, 7, "5 6 7 setresgid 6 7 5", syscall(SYS_setresgid, 6, 7, 5));
	as_group(5, 6, 7, "5 6 7 setresgid 6 7 8", syscall(SYS_setresgid, 6, 7, 8));
	as_group(5, 6, 7, "5 6 7 setfsgid 7", syscall(SYS_setfsgid, 7));
	in_child({
		gid_t list[] = { 30, 10, 20, 10 }, got[8] = { 0 };
		show("setgroups", setgroups(4, list));
		show("getgroups 0", getgroups(0, NULL));
		show("getgroups 2", getgroups(2, got));
		show("getgroups 8", getgroups(8, got));
		printf("%d %d %d %d\n", got[0], got[1], got[2], got[3]);
		show("getgroups -1", syscall(SYS_getgroups, -1, got));
		show("getgroups nowhere", syscall(SYS_getgroups, 8, 16));
		show("setgroups nowhere", syscall(SYS_setgroups, 1, 16));
		show("setgroups 65537", syscall(SYS_setgroups, 65537, list));
		show("setgroups -1", syscall(SYS_setgroups, -1, list));
		show("setgroups 0", setgroups(0, NULL));
		show("getgroups", getgroups(8, got));
		syscall(SYS_setresuid, 5, 5, 5);
		show("setgroups by another", setgroups(4, list));
	});
}

static long cap_set(unsigned int e, unsigned int p, unsigned int i)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { e, p, i }, { 0, 0, 0 } };
	return syscall(SYS_capset, &header, data);
}

static void capabilities(void)
{
	struct __user_cap_header_struct header = { 0x12345678, 0 };
	struct __user_cap_data_struct data[2];
	show("capget, unknown version", syscall(SYS_capget, &header, data));
	printf("version to use %x\n", header.version);
	header.version = 0x12345678;
	show("capget, to ask for the version", syscall(SYS_capget, &header, NULL));
	header.version = _LINUX_CAPABILITY_VERSION_1;
	show("capget version 1", syscall(SYS_capget, &header, data));
	header.version = _LINUX_CAPABILITY_VERSION_3;
	header.pid = 1;
	show("capget of 1", syscall(SYS_capget, &header, data));
	header.pid = 31999;
	show("capget of nobody", syscall(SYS_capget, &header, data));
	header.pid = -1;
	show("capget of -1", syscall(SYS_capget, &header, data));
	header.pid = 1;
	show("capset of 1", syscall(SYS_capset, &header, data));
	show("capget nowhere", syscall(SYS_capget, 16, data));
	in_child({
		show("fewer", cap_set(0xff, 0xffff, 0xf));
		ids("fewer");
		show("more again", cap_set(0x1ffff, 0x1ffff, 0xf));
		show("effective beyond permitted", cap_set(0x1ffff, 0xffff, 0xf));
		show("more inheritable", cap_set(0, 0xffff, 0x1ffff));
		show("none", cap_set(0, 0, 0));
		ids("none");
		show("setuid without CAP_SETUID", syscall(SYS_setuid, 9));
		show("sethostname without CAP_SYS_ADMIN", sethostname("x", 1));
		show("kill init", kill(1, 0));
	});
	in_child({
		show("bounding 5", prctl(PR_CAPBSET_READ, 5));
		show("bounding 41", prctl(PR_CAPBSET_READ, 41));
		show("drop 5", prctl(PR_CAPBSET_DROP, 5));
		show("bounding 5", prctl(PR_CAPBSET_READ, 5));
		show("drop 41", prctl(PR_CAPBSET_DROP, 41));
		show("ambient raise", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 6, 0, 0));
		cap_set(~0u, ~0u, 1 << 6);
		show("ambient raise, inheritable", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 6, 0, 0));
		show("ambient 6", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 6, 0, 0));
		show("ambient 7", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 7, 0, 0));
		show("ambient lower", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, 6, 0, 0));
		show("ambient clear", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
		show("ambient bad", prctl(PR_CAP_AMBIENT, 9, 6, 0, 0));
		show("ambient 99", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 99, 0, 0));
		show("securebits", prctl(PR_GET_SECUREBITS));
		show("set securebits", prctl(PR_SET_SECUREBITS, 0x3));
		show("securebits", prctl(PR_GET_SECUREBITS));
		show("unlock securebits", prctl(PR_SET_SECUREBITS, 0));
		show("securebits beyond", prctl(PR_SET_SECUREBITS, 0x1003));
	});
}

int main(void)
{
	setgroups(0, NULL);
	ids("start");
	users();
	groups();
	capabilities();
	return 0;
}
