/* SPDX-License-Identifier: MIT */
/* CPU, memory, descriptors and threads, from proc(5). */
#include "daemon/control/process_report.h"

#include "common/cleanup.h"

#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void process_head(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP process_%s %s.\n# TYPE process_%s %s\n", name, help, name, type);
}

/* Since Linux 6.2 the size of the directory is their number; before, a hundred thousand have to be counted. */
static long process_open_files(void)
{
	struct stat st;
	long n = 0;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (long)st.st_size;
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and the directory itself */
}

/* The fields of proc_pid_stat(5), counted from behind the name, which may have blanks. */
static bool process_stat(long *ret_threads, unsigned long *ret_virtual, long *ret_pages)
{
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");

	if (!f)
		return false;
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *s = strrchr(text, ')');
	return s &&
	       sscanf(
		   s + 1,
		   " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld %*s %*s %lu %ld",
		   ret_threads, ret_virtual, ret_pages) == 3;
}

void process_report_metrics(FILE *f, int64_t started_us)
{
	struct timespec cpu;
	struct rlimit files;
	long open_files = process_open_files(), threads, pages;
	unsigned long virtual;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
		process_head(f, "cpu_seconds_total", "counter",
			     "CPU time, in user and system mode, of this process");
		fprintf(f, "process_cpu_seconds_total %.6f\n",
			(double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
	}
	if (process_stat(&threads, &virtual, &pages)) {
		process_head(f, "virtual_memory_bytes", "gauge", "Address space");
		fprintf(f, "process_virtual_memory_bytes %lu\n", virtual);
		process_head(f, "resident_memory_bytes", "gauge", "Memory in use, with what is shared");
		fprintf(f, "process_resident_memory_bytes %llu\n",
			(unsigned long long)pages * (unsigned long long)sysconf(_SC_PAGESIZE));
		process_head(f, "num_threads", "gauge", "Threads");
		fprintf(f, "process_num_threads %ld\n", threads);
	}
	if (open_files >= 0) {
		process_head(f, "open_fds", "gauge", "File descriptors in use");
		fprintf(f, "process_open_fds %ld\n", open_files);
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		process_head(f, "max_fds", "gauge", "File descriptors that there may be");
		fprintf(f, "process_max_fds %llu\n", (unsigned long long)files.rlim_cur);
	}
	process_head(f, "start_time_seconds", "gauge",
		     "When this process was started, in seconds since 1970");
	fprintf(f, "process_start_time_seconds %.3f\n", (double)started_us / 1e6);
}
