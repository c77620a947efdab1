/* A thousand processes at once, twice: all live at the same time, all end well, and a second round finds as much memory as the first. */
#include "check.h"

#define COUNT 1000

static void round_of(int number)
{
	int go[2], up[2], up_count = 0, sum = 0;
	pipe(go);
	pipe(up);
	fflush(stdout);
	for (int i = 0; i < COUNT; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			printf("fork %d: %s\n", i, error_name(errno));
			exit(1);
		}
		if (pid == 0) {
			char c = 1;
			close(go[1]);
			write(up[1], &c, 1);
			read(go[0], &c, 1); /* until the parent closes it */
			_exit(i & 0x7f);
		}
	}
	char c;
	while (up_count < COUNT && read(up[0], &c, 1) == 1)
		up_count++;
	printf("round %d: %d are up\n", number, up_count);
	close(go[1]);
	close(go[0]);
	close(up[0]);
	close(up[1]);
	for (int i = 0; i < COUNT; i++) {
		int status;
		if (wait(&status) > 0 && WIFEXITED(status))
			sum += WEXITSTATUS(status);
	}
	printf("round %d: the sum is %d\n", number, sum);
	show("no more", wait(NULL));
}

int main(void)
{
	round_of(1);
	long before = proc_number("/proc/meminfo", "MemFree:");
	round_of(2);
	long after = proc_number("/proc/meminfo", "MemFree:");
	printf("memory came back %d\n", after >= before - 4096);
	return 0;
}
