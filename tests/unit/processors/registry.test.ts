import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { outside, processors } from '../../../processors/registry.ts'
import { deadLetterTopic } from '../../../topics/topic.ts'
import { topics } from '../../../topics/topics.ts'

describe('the graph of processors and topics', () => {
  const writers = new Map<string, string[]>()
  const readers = new Map<string, string[]>()
  const note = (map: Map<string, string[]>, topic: string, name: string) =>
    map.set(topic, [...(map.get(topic) ?? []), name])
  for (const processor of processors) {
    for (const topic of processor.from) note(readers, topic.name, processor.name)
    for (const topic of processor.to) note(writers, topic.name, processor.name)
  }
  for (const [name, names] of Object.entries(outside.writes)) for (const topic of names) note(writers, topic, name)
  for (const [name, names] of Object.entries(outside.reads)) for (const topic of names) note(readers, topic, name)

  test('it has eight processors, each named verb-noun and once', () => {
    const names = processors.map(({ name }) => name)
    assert.equal(new Set(names).size, 8)
    for (const name of names) assert.match(name, /^[a-z]+-[a-z]+$/)
  })

  test('every topic has one writer', () => {
    for (const { name } of topics) assert.equal(writers.get(name)?.length, 1, `${name}: ${writers.get(name)}`)
  })

  test('every topic is read', () => {
    for (const { name } of topics) assert.ok(readers.get(name)?.length, `${name} has no reader`)
  })

  test('the topics of a processor are flushed alike, so that outputs and offset are one transaction', () => {
    for (const { name, from, to } of processors) {
      const flushes = new Set([...from, ...to].map(({ flush }) => flush))
      assert.equal(flushes.size, 1, `${name} has topics flushed ${[...flushes]}`)
    }
    for (const topic of topics) assert.equal(deadLetterTopic(topic).flush, topic.flush, `dead letters of ${topic.name}`)
  })

  test('no processor reads what comes of its own output, but for what it puts off itself', () => {
    const putOff = 'descriptions.deferred.v1'
    assert.deepEqual(writers.get(putOff), readers.get(putOff))
    const visit = (name: string, path: readonly string[]): void => {
      assert.ok(!path.includes(name), `cycle: ${[...path, name].join(' → ')}`)
      const processor = processors.find((candidate) => candidate.name === name)
      for (const topic of processor?.to ?? []) {
        if (topic.name === putOff) continue
        for (const reader of readers.get(topic.name) ?? []) visit(reader, [...path, name])
      }
    }
    for (const { name } of processors) visit(name, [])
  })

  test('the inputs of a joining stage have the same number of partitions, so that one task sees all of an id', () => {
    for (const processor of processors) {
      const counts = new Set(processor.from.map(({ partitions }) => partitions))
      assert.equal(counts.size, 1, `${processor.name} reads topics of ${[...counts]} partitions`)
    }
  })
})
