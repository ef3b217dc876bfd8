package kafka

import (
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partitioner returns what chooses the partitions under the balancer's name.
func partitioner(balancer string) kgo.Partitioner {
	byCRC32 := kgo.StickyKeyPartitioner(func(key []byte, n int) int {
		return int(crc32.ChecksumIEEE(key) % uint32(n)) //nolint:gosec // the number of partitions fits
	})
	byMurmur2 := kgo.StickyKeyPartitioner(nil)
	switch balancer {
	case "least_bytes":
		return kgo.LeastBackupPartitioner()
	case "crc32":
		return always(byCRC32)
	case "crc32_random":
		return byCRC32
	case "murmur2":
		return always(byMurmur2)
	case "murmur2_random":
		return byMurmur2
	}
	return kgo.RoundRobinPartitioner()
}

// always makes a partitioner of keys treat no key as the empty one.
func always(p kgo.Partitioner) kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		of := p.ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Key == nil {
				r = &kgo.Record{Key: []byte{}}
			}
			return of.Partition(r, n)
		}
	})
}
