/* What a new program finds: argc, argv, envp and the auxiliary vector, where they lie, and what is in them. Runs itself again with a fixed command line. */
#include "check.h"
#include <elf.h>
#include <sys/auxv.h>

extern char **environ;
extern char _start[], __executable_start[];

static const char *const names[] = {
	[AT_NULL] = "NULL", [AT_PHDR] = "PHDR", [AT_PHENT] = "PHENT", [AT_PHNUM] = "PHNUM", [AT_PAGESZ] = "PAGESZ", [AT_BASE] = "BASE",
	[AT_FLAGS] = "FLAGS", [AT_ENTRY] = "ENTRY", [AT_UID] = "UID", [AT_EUID] = "EUID", [AT_GID] = "GID", [AT_EGID] = "EGID",
	[AT_PLATFORM] = "PLATFORM", [AT_HWCAP] = "HWCAP", [AT_CLKTCK] = "CLKTCK", [AT_SECURE] = "SECURE", [AT_RANDOM] = "RANDOM",
	[AT_HWCAP2] = "HWCAP2", [27] = "RSEQ_FEATURE_SIZE", [28] = "RSEQ_ALIGN", [AT_EXECFN] = "EXECFN", [AT_SYSINFO_EHDR] = "SYSINFO_EHDR",
	[AT_L1I_CACHESIZE] = "L1I_CACHESIZE", [AT_L1I_CACHEGEOMETRY] = "L1I_CACHEGEOMETRY", [AT_L1D_CACHESIZE] = "L1D_CACHESIZE",
	[AT_L1D_CACHEGEOMETRY] = "L1D_CACHEGEOMETRY", [AT_L2_CACHESIZE] = "L2_CACHESIZE", [AT_L2_CACHEGEOMETRY] = "L2_CACHEGEOMETRY",
	[AT_L3_CACHESIZE] = "L3_CACHESIZE", [AT_L3_CACHEGEOMETRY] = "L3_CACHEGEOMETRY", [AT_MINSIGSTKSZ] = "MINSIGSTKSZ",
};

static void show_auxv(Elf64_auxv_t *aux)
{
	for (;; aux++) {
		const char *name = aux->a_type < sizeof(names) / sizeof(*names) ? names[aux->a_type] : NULL;
		printf("AT_%s", name ? name : "?");
		switch (aux->a_type) {
		case AT_PHDR: case AT_PHNUM: case AT_ENTRY: case AT_RANDOM: case AT_SYSINFO_EHDR:
			printf(" somewhere\n");
			break;
		case AT_EXECFN:
			printf(" %s\n", (char *)aux->a_un.a_val);
			break;
		default:
			printf(" %lu\n", aux->a_un.a_val);
		}
		if (aux->a_type == AT_NULL)
			return;
	}
}

static unsigned long stack_end(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[300];
	unsigned long start = 0, end = 0;
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "[stack]"))
			sscanf(line, "%lx-%lx", &start, &end);
	fclose(f);
	return end;
}

static int symbols_of_vdso(const char *base)
{
	const Elf64_Ehdr *header = (const void *)base;
	const Elf64_Phdr *segments = (const void *)(base + header->e_phoff);
	const Elf64_Dyn *dynamic = NULL;
	for (int i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(base + segments[i].p_vaddr);
	const Elf64_Sym *symbols = NULL;
	const char *strings = NULL;
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const void *)(base + dynamic->d_un.d_ptr);
		if (dynamic->d_tag == DT_STRTAB)
			strings = base + dynamic->d_un.d_ptr;
	}
	static const char *const wanted[] = { "__vdso_rt_sigreturn", "__vdso_gettimeofday", "__vdso_clock_gettime", "__vdso_clock_getres",
					      "__vdso_getcpu", "__vdso_flush_icache" };
	int found = 0;
	for (int i = 1; i < 16; i++)
		for (int j = 0; j < 6; j++)
			if (symbols[i].st_name < 4096 && !strcmp(strings + symbols[i].st_name, wanted[j]))
				found |= 1 << j;
	return found;
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		char *args[] = { "auxv", "one", "two words", "", NULL }, *env[] = { "A=1", "B=", "C=a longer value", NULL };
		execve("/proc/self/exe", args, env);
		return 1;
	}
	unsigned long *stack = (unsigned long *)argv - 1;
	printf("argc %d %lu\n", argc, stack[0]);
	for (int i = 0; i <= argc; i++)
		printf("argv %d: %s\n", i, argv[i] ? argv[i] : "NULL");
	int envc = 0;
	while (environ[envc])
		envc++;
	for (int i = 0; i <= envc; i++)
		printf("env %d: %s\n", i, environ[i] ? environ[i] : "NULL");
	show("sp is a multiple of 16", (unsigned long)stack % 16 == 0);
	show("envp follows argv", environ == argv + argc + 1);
	Elf64_auxv_t *aux = (void *)(environ + envc + 1);
	show_auxv(aux);

	/* The order of things from the top down: a word, the program's name, the environment, the arguments, then random bytes and the tables. */
	const char *execfn = (const char *)getauxval(AT_EXECFN);
	show("bytes above the name", stack_end() - (unsigned long)(execfn + strlen(execfn) + 1));
	show("the name follows the environment", environ[envc - 1] + strlen(environ[envc - 1]) + 1 == execfn);
	show("the environment follows the arguments", argv[argc - 1] + strlen(argv[argc - 1]) + 1 == environ[0]);
	show("arguments are contiguous", argv[0] + strlen(argv[0]) + 1 == argv[1]);
	unsigned long random = getauxval(AT_RANDOM);
	show("random bytes are aligned", random % 16 == 0);
	show("random bytes lie below the arguments", random + 16 <= (unsigned long)argv[0] && (unsigned long)argv[0] - random < 4096 + 64);
	show("tables lie below the random bytes", random > (unsigned long)aux && random - (unsigned long)aux < 512 + 64);
	show("entry", getauxval(AT_ENTRY) == (unsigned long)_start);
	show("phdr", getauxval(AT_PHDR) == (unsigned long)__executable_start + 64);
	show("phnum", getauxval(AT_PHNUM) == ((Elf64_Ehdr *)__executable_start)->e_phnum);
	const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
	show("vdso is an ELF file", !memcmp(vdso, ELFMAG, 4));
	show("vdso is a shared object for RISC-V", ((Elf64_Ehdr *)vdso)->e_type == ET_DYN && ((Elf64_Ehdr *)vdso)->e_machine == EM_RISCV);
	show("vdso has its symbols", symbols_of_vdso(vdso));

	/* /proc's view of the same. */
	char buffer[1024];
	int fd = open("/proc/self/auxv", O_RDONLY);
	long bytes = read(fd, buffer, sizeof(buffer));
	show("auxv file is the vector", bytes >= 16 && !memcmp(buffer, aux, bytes < 368 ? bytes : 368));
	close(fd);
	fd = open("/proc/self/cmdline", O_RDONLY);
	bytes = read(fd, buffer, sizeof(buffer));
	show("cmdline bytes", bytes);
	show("cmdline is the arguments", !memcmp(buffer, argv[0], bytes));
	close(fd);
	fd = open("/proc/self/environ", O_RDONLY);
	bytes = read(fd, buffer, sizeof(buffer));
	show("environ bytes", bytes);
	close(fd);
	char link[256] = "";
	show("exe", readlink("/proc/self/exe", link, sizeof(link)) > 0);
	printf("exe is named %s\n", strrchr(link, '/') + 1);
	char comm[32] = "";
	fd = open("/proc/self/comm", O_RDONLY);
	read(fd, comm, sizeof(comm));
	printf("comm %s", comm);
	return 0;
}
