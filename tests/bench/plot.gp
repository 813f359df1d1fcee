# SPDX-License-Identifier: MIT
# plot.gp: an SVG of what tests/bench/kv.sh printed.
#
#   tests/bench/kv.sh >kv.md
#   gnuplot -e "table='kv.md'; out='kv.svg'" tests/bench/plot.gp
#
# The columns of the markdown table are separated by bars; rates have commas.
# The axis is logarithmic, as a sequential scan and a synced write lie four
# orders of magnitude apart.
if (!exists("table")) table = "kv.md"
if (!exists("out")) out = "kv.svg"

rows = sprintf("<awk -F'|' '/^\\|/ && !/---/ { gsub(/,/, \"\"); gsub(/ +/, \"\"); n = 0; for (i = 2; i < NF; i++) if (NR == 1 || $i != \"\") { if ($i ~ /\\//) break; printf \"%%s \", $i; n++ } print \"\" }' %s", table)
engines = int(system(sprintf("awk -F'|' '/^\\| workload/ { for (i = 3; i < NF && $i !~ /\\//; i++) n++; print n; exit }' %s", table)))

set terminal svg size 1100,520 font "sans-serif,12" background rgb "white"
set output out
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 border -1
set boxwidth 0.9
set logscale y 10
set format y "10^{%T}"
set ylabel "operations a second"
set xtics rotate by -40 left nomirror
set ytics nomirror
set grid ytics
set key top right
set border 3
set rmargin 12
set datafile missing "-"
plot for [i = 2:engines + 1] rows using i:xtic(1) title columnheader(i)
