import assert from 'node:assert/strict'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { canonicalForm, checkBackward } from '../../../schemas/compatibility.ts'
import { generateTypes, keepVersions, subjectsIn, versionState } from '../../../schemas/generate.ts'
import { topics } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const schemas = fileURLToPath(new URL('../../../schemas', import.meta.url))

describe("the repository's schemas", () => {
  test('every topic has a schema of its name', () => {
    assert.deepEqual(subjectsIn(), topics.map(({ name }) => name).sort())
  })

  for (const subject of subjectsIn()) {
    test(`${subject} reads all its earlier versions and is kept as the last of them`, () => {
      const state = versionState(subject)
      if (state.state === 'refused') assert.fail(state.reason)
      if (state.state === 'new') assert.fail(`${subject}.avsc changed; run \`npm run schemas\` to keep it as a version`)
    })
  }

  test('types.ts is what the schemas generate', () => {
    const types = readFileSync(join(schemas, 'types.ts'), 'utf8')
    assert.equal(types, generateTypes(), 'run `npm run schemas`')
  })
})

describe('npm run schemas', () => {
  const subject = 'feedback.recorded.v1'

  function copyWith(change: (fields: { name: string; type: unknown; default?: unknown }[]) => void): string {
    const folder = temporaryFolder()
    cpSync(schemas, folder, { recursive: true, filter: (file) => !file.endsWith('.ts') })
    const file = join(folder, `${subject}.avsc`)
    const schema = JSON.parse(readFileSync(file, 'utf8'))
    change(schema.fields)
    writeFileSync(file, JSON.stringify(schema))
    return folder
  }

  test('a field with a default makes the next version, once', () => {
    const folder = copyWith((fields) => fields.push({ name: 'page', type: ['null', 'string'], default: null }))
    const last = versionNumber(keepVersions(folder))
    assert.ok(last > 1)
    assert.deepEqual(keepVersions(folder), [])
    assert.deepEqual(versionState(subject, folder), { state: 'kept' })
  })

  test('a field without a default is refused by name and no version is written', () => {
    const folder = copyWith((fields) => fields.push({ name: 'page', type: 'string' }))
    assert.throws(() => keepVersions(folder), /feedback\.recorded\.v1\.avsc cannot read its version 1 at page/)
    assert.equal(versionState(subject, folder).state, 'refused')
  })

  test('a version that only the last one of its predecessors could follow is refused', () => {
    const folder = copyWith((fields) => fields.splice(0, 1))
    keepVersions(folder)
    const file = join(folder, `${subject}.avsc`)
    const schema = JSON.parse(readFileSync(file, 'utf8'))
    schema.fields.push({ name: 'requestId', type: 'int', default: 0 })
    writeFileSync(file, JSON.stringify(schema))
    assert.throws(() => keepVersions(folder), /cannot read its version 1 at requestId/)
  })

  function versionNumber(written: string[]): number {
    assert.equal(written.length, 1)
    return Number(/\/(\d+)\.avsc$/.exec(written[0]!)![1])
  }
})

describe('checkBackward', () => {
  const record = (...fields: object[]) => ({ type: 'record', name: 'Track', fields })
  const field = (name: string, type: unknown, more: object = {}) => ({ name, type, ...more })
  const nested = (confidence: string) =>
    record(
      field('tags', {
        type: 'array',
        items: { type: 'record', name: 'Tag', fields: [field('confidence', confidence)] },
      }),
    )
  const mood = (...symbols: string[]) => record(field('mood', { type: 'enum', name: 'Mood', symbols }))
  const cases: [what: string, reader: object, writer: object, path: string | undefined][] = [
    [
      'an added optional field',
      record(field('a', 'int'), field('b', 'int', { default: 0 })),
      record(field('a', 'int')),
      undefined,
    ],
    ['a removed field', record(field('a', 'int')), record(field('a', 'int'), field('b', 'int')), undefined],
    ['a widened number', record(field('a', 'double')), record(field('a', 'int')), undefined],
    ['a type made nullable', record(field('a', ['null', 'int'])), record(field('a', 'int')), undefined],
    [
      'a renamed field with an alias',
      record(field('b', 'int', { aliases: ['a'] })),
      record(field('a', 'int')),
      undefined,
    ],
    ['an added enum symbol', mood('calm', 'happy'), mood('calm'), undefined],
    ['an added required field', record(field('a', 'int'), field('b', 'int')), record(field('a', 'int')), 'b'],
    ['a narrowed number', record(field('a', 'int')), record(field('a', 'double')), 'a'],
    ['a type no longer nullable', record(field('a', 'int')), record(field('a', ['null', 'int'])), 'a'],
    ['a removed enum symbol', mood('calm'), mood('calm', 'happy'), 'mood'],
    ['a change deep inside', nested('int'), nested('double'), 'tags[].confidence'],
    ['another record name', { ...record(field('a', 'int')), name: 'Other' }, record(field('a', 'int')), ''],
  ]
  for (const [what, reader, writer, path] of cases) {
    test(`${what} is ${path === undefined ? 'compatible' : 'incompatible'}`, () => {
      assert.equal(checkBackward(reader, [writer])?.path, path)
    })
  }

  test('the canonical form ignores docs and key order, and keeps defaults', () => {
    const plain = { type: 'record', name: 'T', fields: [{ name: 'a', type: 'int', default: 1 }] }
    const same = {
      fields: [{ default: 1, type: { type: 'int' }, name: 'a', doc: 'A.' }],
      doc: 'T.',
      name: 'T',
      type: 'record',
    }
    const other = { type: 'record', name: 'T', fields: [{ name: 'a', type: 'int', default: 2 }] }
    assert.equal(canonicalForm(same), canonicalForm(plain))
    assert.notEqual(canonicalForm(other), canonicalForm(plain))
  })
})
