import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { mtConfig } from '../../../cli/train/train-models.ts'
import { parseTrainConfig, trainConfigSchema } from '../../../trainer/train-config.ts'
import { trainConfigTable } from '../../../trainer/train-config-table.ts'

const folder = join(import.meta.dirname, '../../../trainer/configs')
const names = readdirSync(folder)
const read = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'))

test('every recipe that comes with the product is valid, asks with video and words, and is told of', () => {
  assert.ok(names.length >= 3, names.join(', '))
  const page = readFileSync(join(folder, '../../docs/training.md'), 'utf8')
  for (const name of names) {
    assert.equal(parseTrainConfig(read(name)).query, 'video+text', name)
    assert.ok(page.includes(`\`${name.replace('.json', '')}\``), `docs/training.md tells of ${name}`)
  }
})

test('the recipe of the paper is that of the paper', () => {
  const { dims, temperature, textDropout, fusion, encoder } = parseTrainConfig(read('paper.json'))
  assert.deepEqual([dims, temperature, textDropout, fusion], [256, 0.03, 0.8, 'transformer-2'])
  assert.equal(encoder.kind, 'transformer')
})

test('MT asks with words alone, which never fall out, and is trained like ViML in all else', () => {
  const viml = parseTrainConfig(read('default.json'))
  assert.deepEqual(mtConfig(viml), { ...viml, query: 'text', textDropout: 0 })
})

test('the page of the training configuration is the one that its schema gives, with a meaning for every key', () => {
  const table = trainConfigTable()
  const page = readFileSync(join(folder, '../../docs/training-configuration.md'), 'utf8')
  assert.ok(page.includes(table), 'npm run docs writes it again')
  for (const key of Object.keys(trainConfigSchema.shape)) {
    assert.match(table, new RegExp(`\\| \`${key}\` \\| [^|]+ \\| [^|]* \\| [^|]{4,} \\|`), key)
  }
})
