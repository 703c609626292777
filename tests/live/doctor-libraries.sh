#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq doctor --program must find the libipq.so.0 that the dynamic linker would load, in the linker's order.
. "$IPQ_LIVE/lib.sh"

cc=${CC:-cc}
echo 'int ipq_create_handle(void) { return 0; } int ipq_read(void) { return 0; }' | $cc -shared -fPIC -Wl,-soname,libipq.so.0 -x c -o $work/probe.so - 2>/dev/null ||
	skip "no compiler that makes shared libraries"

# says RESULT CHECK TEXT PROGRAM
says() {
	$IPQ doctor --program "$4" >$work/said 2>&1
	grep -q -- "^$1 *$2 *.*$3" $work/said || { cat $work/said; return 1; }
}

unset LD_LIBRARY_PATH # the build may have set it
ours=$($IPQ doctor --program $DECIDE | sed -n 's/.*it uses this libipq: //p')
mkdir $work/old $work/new $work/bin $work/bin/beside
mv $work/probe.so $work/old/libipq.so.0
cp "$ours" $work/new/libipq.so.0
echo 'int ipq_create_handle(void), ipq_read(void); int main(void) { return ipq_create_handle() + ipq_read(); }' >$work/client.c

# build NAME LINKER-OPTION...
build() {
	name=$1
	shift
	$cc -o $work/bin/$name $work/client.c $work/old/libipq.so.0 "$@"
}
build plain
build runpath -Wl,--enable-new-dtags,-rpath,$work/old
build rpath -Wl,--disable-new-dtags,-rpath,$work/old
build origin -Wl,--enable-new-dtags,-rpath,'$ORIGIN/beside'
build braces -Wl,--enable-new-dtags,-rpath,'/nonexistent:${ORIGIN}/../new'

expect "the old library in RUNPATH" says warning run "it uses the old libipq.*: $work/old/libipq.so.0" $work/bin/runpath
expect "ipq run is the remedy" grep -q "> ipq run -- $work/bin/runpath" $work/said
expect "the interface is named" says ok interface 'libipq, shared: it needs libipq.so.0' $work/bin/runpath
expect 'this library, two entries and ${ORIGIN}' says ok run "it uses this libipq: $work/bin/../new/libipq.so.0" $work/bin/braces
if ! ldconfig -p 2>/dev/null | grep -q 'libipq\.so\.0'; then
	expect "no library at all" says FAIL run 'no libipq.so.0 of [0-9]* bits for .* is installed' $work/bin/plain
	expect 'none in $ORIGIN' says FAIL run 'no libipq.so.0' $work/bin/origin
else
	echo "not tested: no library at all: the dynamic linker knows one"
fi
cp $work/new/libipq.so.0 $work/bin/beside/
expect 'this library in $ORIGIN' says ok run "it uses this libipq: $work/bin/beside/libipq.so.0" $work/bin/origin
export LD_LIBRARY_PATH=/nonexistent:$work/new
expect "LD_LIBRARY_PATH" says ok run "it uses this libipq: $work/new/libipq.so.0" $work/bin/plain
expect "LD_LIBRARY_PATH comes before RUNPATH" says ok run "it uses this libipq: $work/new/libipq.so.0" $work/bin/runpath
expect "and after RPATH" says warning run "it uses the old libipq.*: $work/old/libipq.so.0" $work/bin/rpath
unset LD_LIBRARY_PATH

$cc -c -o $work/object.o $work/client.c
expect "an object file is no program" says FAIL program 'not a program: an object file' $work/object.o
case $(uname -m) in
x86_64 | aarch64)
	cp $work/bin/plain $work/other
	for file in $work/other $work/old/libipq.so.0; do
		printf '\026\000' | dd of=$file bs=1 seek=18 conv=notrunc 2>/dev/null # EM_S390
	done
	expect "a program for another machine" says FAIL program 'for another machine' $work/other
	LD_LIBRARY_PATH=$work/old:$work/new expect "a library for another machine is passed over" \
		says ok run "it uses this libipq: $work/new/libipq.so.0" $work/bin/rpath
	;;
esac
finish
