/* stdio.c: printf, puts, exit: standard output gathered into lines and written with one write(2) each, so that lines of several processes do
 * not mix. Formats: %d %i %u %x %c %s %p %%, flags - and 0, width (or *), l, ll, z, and ' for thousands. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

FILE *stdout, *stderr; /* only ever named, in fflush(stdout) */
static char line[1024];
static size_t used;

int fflush(FILE *file)
{
	(void)file;
	for (size_t at = 0; at < used;) {
		ssize_t n = write(1, line + at, used - at);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	used = 0;
	return 0;
}

void exit(int status)
{
	fflush(stdout);
	_exit(status);
}

int putchar(int c)
{
	line[used++] = (char)c;
	if (c == '\n' || used == sizeof(line))
		fflush(stdout);
	return c;
}

static void pad(int count, char with)
{
	while (count-- > 0)
		putchar(with);
}

int vprintf(const char *restrict format, va_list list)
{
	for (; *format; format++) {
		if (*format != '%') {
			putchar(*format);
			continue;
		}
		int left = 0, grouped = 0, width = 0, longs = 0;
		char fill = ' ', digits[32], *text = digits + sizeof(digits);
		for (format++;; format++) {
			if (*format == '-')
				left = 1;
			else if (*format == '0')
				fill = '0';
			else if (*format == '\'')
				grouped = 1;
			else
				break;
		}
		if (*format == '*')
			width = va_arg(list, int), format++;
		while (*format >= '0' && *format <= '9')
			width = width * 10 + *format++ - '0';
		for (; *format == 'l' || *format == 'z'; format++)
			longs = 1;
		int length;
		if (*format == 's') {
			text = va_arg(list, char *);
			length = (int)strlen(text);
		} else if (*format == 'c') {
			*--text = (char)va_arg(list, int);
			length = 1;
		} else if (*format == '%') {
			*--text = '%';
			length = 1;
		} else {
			int is_signed = *format == 'd' || *format == 'i', base = *format == 'x' || *format == 'p' ? 16 : 10;
			int64_t value = longs || *format == 'p' ? va_arg(list, long) : is_signed ? va_arg(list, int) : (int64_t)va_arg(list, unsigned);
			int negative = is_signed && value < 0, count = 0;
			uint64_t rest = negative ? -(uint64_t)value : (uint64_t)value;
			do {
				if (grouped && count && count % 3 == 0)
					*--text = ',';
				*--text = "0123456789abcdef"[rest % (unsigned)base];
				rest /= (unsigned)base;
				count++;
			} while (rest);
			if (*format == 'p')
				*--text = 'x', *--text = '0';
			if (negative)
				*--text = '-';
			length = (int)(digits + sizeof(digits) - text);
		}
		if (!left)
			pad(width - length, fill);
		for (int i = 0; i < length; i++)
			putchar(text[i]);
		if (left)
			pad(width - length, ' ');
	}
	return 0;
}

int printf(const char *restrict format, ...)
{
	va_list list;
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	return 0;
}

int puts(const char *s)
{
	return printf("%s\n", s);
}
