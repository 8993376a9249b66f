/**
 * Kafka's default partitioner, so that every broker puts a key into the same partition.
 *
 * murmur2 (32 bits, seed 0x9747b28c) of the key's UTF-8 bytes, made positive by its mask, modulo the partitions.
 * Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey.
 */
const M = 0x5bd1e995
const SEED = 0x9747b28c

/** @returns 0 … partitions − 1. */
export function partitionForKey(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key, 'utf8')) & 0x7fffffff) % partitions
}

/** @returns a signed 32-bit hash. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  let hash = SEED ^ length
  const words = length >> 2
  for (let i = 0; i < words; i++) {
    const at = i * 4
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    hash = Math.imul(hash, M) ^ Math.imul(k, M)
  }
  const tail = words * 4
  const left = length & 3
  if (left === 3) hash ^= bytes[tail + 2]! << 16
  if (left >= 2) hash ^= bytes[tail + 1]! << 8
  if (left >= 1) hash = Math.imul(hash ^ bytes[tail]!, M)
  hash ^= hash >>> 13
  hash = Math.imul(hash, M)
  return hash ^ (hash >>> 15)
}
