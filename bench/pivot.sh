#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Converts medians.csv to rate.dat and cpu.dat, the input of plot.gp: a line per scenario, a column per consumer.
set -eu
for pair in rate:4 cpu:8; do
	awk -F, -v column="${pair#*:}" '
		BEGIN {
			shown = split("burst-64 burst-1400 group-64 flood-64 burst-64-drop tcp tcp-back", scenario, " ")
			readers = split("nfq mnl raw-one raw-packed raw-batch classic classic-batch ipq", consumer, " ")
		}
		NR > 1 { value[$1, $2] = $column; seen[$1] = 1; has[$2] = 1 }
		END {
			printf "scenario"
			for (c = 1; c <= readers; c++)
				if (consumer[c] in has)
					printf " %s", consumer[c]
			printf "\n"
			for (s = 1; s <= shown; s++) {
				if (!(scenario[s] in seen))
					continue
				printf "%s", scenario[s]
				for (c = 1; c <= readers; c++)
					if (consumer[c] in has)
						printf " %s", (scenario[s], consumer[c]) in value ? value[scenario[s], consumer[c]] : "nan"
				printf "\n"
			}
		}' "$1" >"${pair%:*}.dat"
done
