import assert from 'node:assert/strict'
import { test } from 'node:test'
import { say, table } from '../../../cli/terminal.ts'

test('a title with control characters is shown and commands nothing, and JSON stays the same JSON', (t) => {
  const write = t.mock.method(process.stdout, 'write', () => true)
  const title = 'a\u001b]52;c;eA==\u0007\r\u009b31m'
  say(`1.  ${title}\n2.\tb`)
  say(JSON.stringify({ title }))
  const [shown, json] = write.mock.calls.map(({ arguments: [text] }) => String(text))
  write.mock.restore()
  assert.equal(shown, '1.  a\\u001b]52;c;eA==\\u0007\\u000d\\u009b31m\n2.\tb\n')
  assert.deepEqual(JSON.parse(json!), { title })
  assert.doesNotMatch(json!, /(?!\n)\p{Cc}/u)
})

test('a title with line breaks cannot pretend to be further rows of a table', () => {
  assert.equal(
    table([
      ['1.', 'a\n2.  b'],
      ['2.', 'c'],
    ]),
    '1.  a\\u000a2.  b\n2.  c',
  )
})
