import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MatchMemory, planSearch, wantedRows } from '../../../adapters/redis/vector-index-search.ts'

const plan = (rows: number, matches: number, k = 10, filtered = true) =>
  planSearch({ rows, matches, wanted: wantedRows(k), filtered })

test('few matching rows are scanned, many are looked for in the graph', () => {
  assert.equal(plan(1_000_000, 1_000).policy, 'scan')
  assert.equal(plan(1_000_000, 25_000).policy, 'scan')
  assert.equal(plan(1_000_000, 270_000).policy, 'batches')
  assert.equal(plan(100_000, 2_500).policy, 'scan')
  assert.equal(plan(100_000, 27_000).policy, 'batches')
  assert.equal(plan(5_000, 4_500).policy, 'scan')
  assert.equal(plan(1_000_000, 0).policy, 'scan')
})

test('without a filter a small index is scanned and a large one is not', () => {
  assert.equal(plan(5_000, 5_000, 10, false).policy, 'scan')
  assert.equal(plan(100_000, 100_000, 10, false).policy, 'graph')
})

test('the more rows are asked for, the longer scanning is the cheaper way', () => {
  assert.equal(plan(100_000, 27_000, 10).policy, 'batches')
  assert.equal(plan(100_000, 27_000, 1_000).policy, 'scan')
})

test('a batch is as large as the filter is selective', () => {
  const batchRows = (matches: number) => {
    const planned = plan(1_000_000, matches)
    assert.equal(planned.policy, 'batches')
    return planned.policy === 'batches' ? planned.batchRows : 0
  }
  assert.equal(batchRows(1_000_000), 3 * 42)
  assert.equal(batchRows(500_000), 6 * 42)
})

test('what is known of a filter is forgotten after a while, and when a thousand others came', () => {
  const memory = new MatchMemory()
  memory.set('a', 7, 0)
  assert.equal(memory.get('a', 29_999), 7)
  assert.equal(memory.get('a', 30_000), undefined)
  for (let i = 0; i < 1_000; i++) memory.set(`other ${i}`, i, 0)
  assert.equal(memory.get('a', 0), undefined)
  assert.equal(memory.get('other 999', 0), 999)
})
