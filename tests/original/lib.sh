# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of the original library, which link our programs statically with it. Source this file.

original=$(sh "${IPQ_ORIGINAL:?}/fetch") || {
	echo "$original"
	exit 77
}

# compiles WORD ARGUMENT...: compiles with the original headers, for 64 or 32 bits (WORD).
compiles() {
	machine=
	[ "$1" != 32 ] || machine=-m32
	shift
	# -w: old programs are written in old dialects of C
	${CC:-cc} $machine -O2 -w -static -I"$original/include" -I"$original/include/libipq" "$@"
}

# links_with_the_original WORD OUTPUT ARGUMENT...: makes a static program that contains the original library.
links_with_the_original() {
	word=$1
	output=$2
	shift 2
	[ "$word" = 64 ] || [ "$(uname -m)" = x86_64 ] || { echo "skipped: no 32-bit programs on this machine"; exit 77; }
	echo 'int main(void) { return 42; }' >"$output.c"
	compiles "$word" -o "$output" "$output.c" 2>/dev/null ||
		{ echo "skipped: this compiler has no static $word-bit C library"; exit 77; }
	"$output" 2>/dev/null || [ $? = 42 ] || { echo "skipped: this kernel runs no $word-bit programs"; exit 77; }
	compiles "$word" -c -o "$output.o" "$original/libipq/libipq.c"
	compiles "$word" -o "$output" "$@" "$output.o" -lpthread
	rm "$output.c" "$output.o"
}

# Root runs the programs as the ordinary user nobody.
as_user=
[ "$(id -u)" != 0 ] || as_user="setpriv --reuid 65534 --regid 65534 --clear-groups"
