module tusfm/benchmarks/peers

go 1.25

tool github.com/tus/tusd/v2/cmd/tusd

require github.com/tus/tusd/v2 v2.9.1
