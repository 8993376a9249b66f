import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { labelPlaces, vocabulary } from '../../../processors/analyse-music/vocabulary.ts'

test('evidence and places name labels that the embedded taggers have', () => {
  const file = new URL('../../../models/embedded/musicnn_labels.json', import.meta.url)
  const { mtt, msd } = JSON.parse(readFileSync(file, 'utf8')) as { mtt: string[]; msd: string[] }
  const labels = new Set([...mtt.map((label) => `mtt:${label}`), ...msd.map((label) => `msd:${label}`)])
  for (const { tag, evidence } of vocabulary) {
    for (const label of evidence.flatMap(Object.keys)) assert.ok(labels.has(label), `${tag} rests on ${label}`)
  }
  for (const [label] of labelPlaces) assert.ok(labels.has(label), label)
})
