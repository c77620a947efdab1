/* start.c: where a program of guest/src starts: calls main(argc, argv, envp) and exits with what it returns. Linked in front of each of them
 * together with the rest of guest/lib, a C library just large enough that the binaries which ship stay small. glibc's headers are used;
 * only what is implemented here may be called. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv, char **envp);

char **environ;

/* The kernel enters with sp pointing at argc; gp is the ABI's global pointer, which the linker relaxes against. */
__asm__(".globl _start\n"
	"_start:\n"
	".option push\n"
	".option norelax\n"
	"	la gp, __global_pointer$\n"
	".option pop\n"
	"	mv a0, sp\n"
	"	andi sp, sp, -16\n"
	"	call start_c\n");

__attribute__((used, noreturn)) void start_c(long *stack)
{
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1);
	environ = argv + argc + 1;
	exit(main(argc, argv, environ));
}
