import assert from 'node:assert/strict'
import { test } from 'node:test'
import { murmur2, partitionForKey } from '../../../adapters/partitioner.ts'

// The vectors of Kafka's own UtilsTest.testMurmur2.
const vectors: [string, number][] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
]

test("murmur2 gives the hashes of Kafka's own tests", () => {
  for (const [text, hash] of vectors) assert.equal(murmur2(Buffer.from(text)), hash, text)
})

test('a key goes where kafkajs and the Java client send it', () => {
  // Computed with kafkajs 2.2.4, six partitions.
  const partitions: [string, number][] = [
    ['', 3],
    ['ü€𝄞', 4],
    ['1', 3],
    ['12', 4],
    ['123', 5],
    ['1234', 0],
    ['foobar', 0],
    ['a-little-bit-longer-string', 5],
  ]
  for (const [key, partition] of partitions) assert.equal(partitionForKey(key, 6), partition, key)
})
