#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Commands handle files that another user has prepared, and an environment that another user has chosen.
. "$IPQ_LIVE/lib.sh"
umask 0
in=$work/in.pcap
printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\377\377\0\0\145\0\0\0' >$in
printf '\0\0\0\0\0\0\0\0\24\0\0\0\24\0\0\0E\0\0\24\0\0\0\0\100\1\0\0\12\0\0\1\12\0\0\2' >>$in
mode() {
	stat -c %a "$1"
}
record() {
	$IPQ watch --quiet --source pcap:$in -w "$1" >/dev/null 2>$work/error
}
copy() {
	$IPQ watch --quiet --source "pcap:$in,$1" >/dev/null 2>$work/error
}
log() {
	$IPQ run --source pcap:$in --log "$1" true 2>$work/error
}

# ---- files
mkdir -m 1777 $work/shared
for write in record copy log; do
	expect "$write: a new file is written" $write $work/$write
	expect_text "$write: a new file has mode 0600" 600 mode $work/$write
	: >$work/there
	chmod 644 $work/there
	ln -sf there $work/link
	expect "$write: a link in a private directory is followed" $write $work/link
	expect_text "$write: an existing file keeps its mode" 644 mode $work/there
	expect "$write: the target of the link is written" [ -s $work/there ]

	# a directory where every user may write
	expect "$write: a new file in a shared directory is written" $write $work/shared/$write
	expect_text "$write: a new file in a shared directory has mode 0600" 600 mode $work/shared/$write
	expect "$write: an own file in a shared directory is written again" $write $work/shared/$write
	echo precious >$work/precious
	ln -s $work/precious $work/shared/link.$write
	ln -s $work/new $work/shared/dangling.$write
	$write $work/shared/link.$write && fail "$write: followed a link"
	expect "$write: a link in a shared directory is refused" grep -q 'symbolic link' $work/error
	$write $work/shared/dangling.$write && fail "$write: made a file elsewhere"
	expect "$write: no file is created through a dangling link" [ ! -e $work/new ]
	ln $work/precious $work/shared/hard.$write
	$write $work/shared/hard.$write && fail "$write: another name of a file"
	expect "$write: a hard link is refused with the reason" grep -q 'another name' $work/error
	expect_text "$write: the targets of refused links are unchanged" precious cat $work/precious
	if chown 12345 $work/shared/$write 2>/dev/null; then
		$write $work/shared/$write && fail "$write: a file of another user was written"
		expect "$write: a file of another user is refused" grep -q 'belongs to another user' $work/error
	fi

	# another user's directory, and one that a group may write to
	rm -rf $work/theirs
	mkdir -p $work/theirs/private
	ln -s $work/precious $work/theirs/link
	ln -s $work $work/theirs/way
	chmod 775 $work/theirs
	if chgrp 12345 $work/theirs 2>/dev/null; then
		$write $work/theirs/link && fail "$write: followed a link that its group can place"
		expect "$write: a link in a directory of another group is refused" grep -q 'symbolic link' $work/error
	fi
	chmod 755 $work/theirs
	if chown 12345 $work/theirs 2>/dev/null; then
		$write $work/theirs/link && fail "$write: followed a link of another user"
		expect "$write: a link in another user's directory is refused" grep -q 'symbolic link' $work/error
		$write $work/theirs/way/new.$write && fail "$write: followed a link to a directory"
		expect "$write: so is a link to a directory on the way" grep -q 'symbolic link' $work/error
		expect "$write: no file is created through it" [ ! -e $work/new.$write ]
		ln -sfn $work/theirs/way $work/detour
		$write $work/detour/new.$write && fail "$write: followed a link by way of an own one"
		expect "$write: so is one by way of an own link" [ ! -e $work/new.$write ]
		expect "$write: a new file in another user's directory is written" $write $work/theirs/new.$write
	fi
	expect_text "$write: the targets are unchanged" precious cat $work/precious
	ln -sfn private $work/theirs/way
	ln -sfn . $work/here
	expect "$write: own links to directories are followed" $write $work/here/here/own.$write
	expect "$write: the file is there" [ -s $work/own.$write ]
done
expect "a path with .. and // is written" record $work/here/..//test/./dots
expect "the file is there" [ -s $work/dots ]
expect_text "/dev/stdout is written" 0a0d0d0a sh -c \
	"$IPQ watch --quiet -s pcap:$in -w /dev/stdout | od -An -tx1 -N4 | tr -d ' '"
expect "an empty path is an error" sh -c "! record ''"
expect "a recording truncates an existing file" sh -c \
	"head -c 100000 /dev/zero >$work/record; $IPQ watch --quiet -s pcap:$in -w $work/record >/dev/null; [ \$(stat -c %s $work/record) -lt 1000 ]"
lines=$(grep -c '^summary: IPv4' $work/log)
log $work/log
expect_text "a log is appended to" $((lines + 1)) grep -c '^summary: IPv4' $work/log

mkfifo $work/fifo
timeout 10 cat $work/fifo >$work/copied &
expect "a recording is written to a FIFO" record $work/fifo
wait $!
expect "the reader of the FIFO gets the same bytes" cmp $work/record $work/copied
expect "a recording is written to a device" record /dev/null

if command -v python3 >/dev/null; then
	python3 -c "import pty, sys
for line in sys.argv[2:]:
    pty.spawn([sys.argv[1], *line.split()])" $IPQ "watch -s pcap:$in -w -" "watch -s pcap:$in -w /dev/tty" \
		"watch -s pcap:$in,-" >$work/screen </dev/null
	expect_text "packets are not written to a terminal under any name" 3 grep -c 'is a terminal' $work/screen
fi

# ---- the tools that are started
real=$(command -v iptables)
mkdir -p $work/bin $work/trap
cat >$work/bin/iptables <<END
#!/bin/sh
env >$work/environment
exec $real "\$@"
END
cat >$work/trap/iptables <<END
#!/bin/sh
touch $work/trapped
exec $real "\$@"
END
chmod +x $work/bin/iptables $work/trap/iptables
cd $work/trap || exit 1
SECRET=1 IFS=x ENV=$work/trap/iptables LD_DEBUG_OUTPUT=/dev/null PATH=.::trap:$work/bin:$PATH \
	start $IPQ watch --on INPUT udp
wait_for_rule INPUT
stop INT
expect "a tool in the current directory is not started" [ ! -e $work/trapped ]
expect_text "a tool gets only four variables of the environment" "HOME LC_ALL PATH XTABLES_LOCKFILE" sh -c \
	"sed 's/=.*//' $work/environment | grep -vxE 'PWD|OLDPWD|SHLVL|_' | sort | tr '\n' ' ' | sed 's/ \$//'"

# ---- the library in a set-user-ID program
cp $SECURE_SOURCE $work/secure
expect_text "IPQ_SOURCE selects the source" "no such source" env IPQ_SOURCE=nonsense:1 $work/secure
if chown 0:0 $work/secure && chmod 4755 $work/secure && setpriv --reuid=12345 --clear-groups true 2>/dev/null; then
	expect_text "a set-user-ID program ignores IPQ_SOURCE" "the kernel's queue" \
		setpriv --reuid=12345 --clear-groups env IPQ_SOURCE=nonsense:1 $work/secure
else
	echo "not tested: set-user-ID programs: there is no second user here"
fi
finish
