import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openStoppedText } from '../../../adapters/local-model/stop-strings.ts'

function cut(stops: readonly string[], pieces: readonly string[]) {
  const written = openStoppedText(stops)
  const ended = pieces.map((piece) => written.add(piece))
  return { text: written.text, ended }
}

test('text without a stop string is all of its pieces', () => {
  assert.deepEqual(cut([], ['a', 'b']), { text: 'ab', ended: [false, false] })
  assert.deepEqual(cut(['x'], ['a', 'b']), { text: 'ab', ended: [false, false] })
})

test('a stop string that lies across pieces is found, and is no part of the text', () => {
  assert.deepEqual(cut(['[Input]'], ['slow\n[In', 'put', ']: next', 'more']), {
    text: 'slow\n',
    ended: [false, false, true, true],
  })
})

test('of two in one piece the one that begins first ends the text', () => {
  assert.deepEqual(cut(['two', 'one'], ['a one b two']), { text: 'a ', ended: [true] })
})

test('a stop string of one character is found where the text begins with it', () => {
  assert.deepEqual(cut(['\n'], ['\n']), { text: '', ended: [true] })
})
