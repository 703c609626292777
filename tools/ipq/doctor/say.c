/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include "common/text.h"
#include "doctor/doctor.h"

void doctor_say(struct doctor *d, enum check_result result, const char *check, const char *remedy,
		const char *format, ...)
{
	static const char *const words[] = { "ok", "warning", "FAIL" };
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->warnings += result == CHECK_WARNING;
	d->failures += result == CHECK_FAIL;
	if (!d->json) {
		printf("%-8s %-10s ", words[result], check);
		text_put(stdout, text);
		if (remedy != NULL) {
			printf("\n%18s > ", "");
			text_put(stdout, remedy);
		}
		putchar('\n');
		fflush(stdout);
		return;
	}
	printf("%s{\"check\":\"%s\",\"result\":\"%s\",\"text\":", d->said++ > 0 ? "," : "", check,
	       words[result]);
	text_put_json(stdout, text);
	fputs(",\"type\":", stdout);
	if (remedy != NULL)
		text_put_json(stdout, remedy);
	else
		fputs("null", stdout);
	putchar('}');
}
