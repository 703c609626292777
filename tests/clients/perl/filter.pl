# SPDX-License-Identifier: LGPL-2.1-or-later
# Accepts packets except those that contain "drop"; replaces "perl" by "PERL" (without a UDP checksum).
use strict;
use warnings;
use IPQueue;

my $q = IPQueue::create(2) or die IPQueue::errstr();
IPQueue::set_mode($q, 2, 65535) > 0 or die IPQueue::errstr();
while (my $m = IPQueue::get_message($q, 0)) {
	my $payload = $m->{payload};
	die "not a packet of the OUTPUT hook on lo\n" if $m->{hook} != 3 || $m->{outdev_name} ne 'lo';
	if ($payload =~ /drop/) {
		IPQueue::set_verdict($q, $m->{packet_id}, 0);
	} elsif ((my $changed = $payload) =~ s/perl/PERL/) {
		substr($changed, 26, 2) = "\0\0";
		IPQueue::set_verdict($q, $m->{packet_id}, 1, $changed);
	} else {
		IPQueue::set_verdict($q, $m->{packet_id}, 1);
	}
}
die IPQueue::errstr();
