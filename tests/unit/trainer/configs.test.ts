/** The recipes that come with the product. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseTrainConfig } from '../../../trainer/train-config.ts'

const folder = join(import.meta.dirname, '../../../trainer/configs')
const read = (name: string) => parseTrainConfig(JSON.parse(readFileSync(join(folder, name), 'utf8')))

test('every recipe is valid', () => {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  assert.ok(names.length > 0, `there are recipes in ${folder}`)
  for (const name of names) assert.doesNotThrow(() => read(name), name)
})

test('the recipe of whole-video features reads one vector a video, and is of ViML', () => {
  const { encoder, query } = read('video-level.json')
  assert.equal(encoder.kind, 'residual-mlp')
  assert.equal(query, 'video+text')
})
