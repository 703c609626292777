# SPDX-License-Identifier: LGPL-2.1-or-later
set terminal svg size 1000,760 dynamic font "sans,13" background rgb "white"
set output "bench.svg"
set multiplot layout 2,1
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.9 noborder
set boxwidth 0.95
set grid ytics lc rgb "#dddddd"
set border 3
set xtics nomirror
set ytics nomirror
set key outside right top Left reverse noenhanced samplen 1
set xtics noenhanced
array colour[8] = ["#888888", "#bbbbbb", "#e3b778", "#d9822b", "#a85a12", "#8fb8de", "#3f7fbf", "#124a86"]
if (!exists("columns")) columns = 9 # of rate.dat: the scenario, then the consumers
set logscale y 2
set yrange [0.5:*]
set title "Packets a second (TCP: bytes), times libnetfilter_queue's classic loop; more is better" noenhanced
plot for [i=2:columns] "rate.dat" using i:xtic(1) title columnheader(i) lc rgb colour[i-1]
unset logscale
set yrange [0:*]
set title "CPU a packet (TCP: a byte), consumer and kernel threads, times the classic loop; less is better" noenhanced
plot for [i=2:columns] "cpu.dat" using i:xtic(1) title columnheader(i) lc rgb colour[i-1]
unset multiplot
