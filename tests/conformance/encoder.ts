/**
 * What every encoder of a profile upholds (ports/encoder.ts): rows of the stated width, in order, finite, the same
 * each time and whatever stands beside them, and a clear error for input of a wrong size.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImageEncoder, MusicEncoder, TextEncoder } from '../../ports/encoder.ts'
import { ShapeError } from '../../ports/errors.ts'

interface Encoders {
  readonly imageEncoder: ImageEncoder
  readonly musicEncoder: MusicEncoder
  readonly textEncoder: TextEncoder
}

const pictureBytes = 224 * 224 * 3

/** Deterministic noise, so that pictures and patches differ. */
function noise(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

function randomPicture(seed: number): Uint8Array {
  const next = noise(seed)
  return new Uint8Array(pictureBytes).map(() => Math.floor(next() * 256))
}

function randomPatch(samples: number, seed: number): Float32Array {
  const next = noise(seed)
  return Float32Array.from({ length: samples }, () => next() - 0.5)
}

const row = (values: Float32Array, index: number, dims: number) => values.subarray(index * dims, (index + 1) * dims)

function assertClose(actual: Float32Array, expected: Float32Array): void {
  assert.equal(actual.length, expected.length)
  for (const [index, value] of actual.entries()) {
    const wanted = expected[index]!
    assert.ok(Math.abs(value - wanted) <= 1e-5 * (1 + Math.abs(wanted)), `value ${index}: ${value}, not ${wanted}`)
  }
}

function assertRows(values: Float32Array, count: number, dims: number): void {
  assert.equal(values.length, count * dims)
  assert.ok(
    values.every((value) => Number.isFinite(value)),
    'not finite',
  )
}

export function encoderConformance(name: string, encoders: () => Promise<Encoders>): void {
  test(`${name}: each encoder says who it is`, async () => {
    const { imageEncoder, musicEncoder, textEncoder } = await encoders()
    for (const { id, sha256, dims } of [imageEncoder, musicEncoder, textEncoder]) {
      assert.match(id, /^[a-z0-9.-]+@\d+$/)
      assert.match(sha256, /^[0-9a-f]{64}$/)
      assert.ok(dims > 0)
    }
    assert.ok(musicEncoder.patchSamples >= 16_000)
    assert.equal(new Set(musicEncoder.labels).size, musicEncoder.labels.length, 'two tags have the same name')
  })

  test(`${name}: pictures give their rows in order, the same ones alone as together`, async () => {
    const { imageEncoder } = await encoders()
    const pictures = [randomPicture(1), randomPicture(2), randomPicture(3)]
    const together = await imageEncoder.encode(Buffer.concat(pictures), 3)
    assertRows(together, 3, imageEncoder.dims)
    const alone = await imageEncoder.encode(pictures[1]!, 1)
    assertClose(row(together, 1, imageEncoder.dims), alone)
    assert.notDeepEqual(row(together, 0, imageEncoder.dims), row(together, 1, imageEncoder.dims))
    assert.deepEqual(await imageEncoder.encode(pictures[1]!, 1), alone)
  })

  test(`${name}: a view into a larger buffer is read from where it begins`, async () => {
    const { imageEncoder } = await encoders()
    const pixels = randomPicture(4)
    const buffer = new Uint8Array(pictureBytes + 3)
    buffer.set(pixels, 3)
    assert.deepEqual(await imageEncoder.encode(buffer.subarray(3), 1), await imageEncoder.encode(pixels, 1))
  })

  test(`${name}: patches give embeddings and tags in order, the same ones alone as together`, async () => {
    const { musicEncoder } = await encoders()
    const { patchSamples, dims, labels } = musicEncoder
    const first = randomPatch(patchSamples, 5)
    const second = first.map((_, index) => Math.sin(index * 0.17) * 0.3)
    const pcm = new Float32Array(2 * patchSamples)
    pcm.set(first)
    pcm.set(second, patchSamples)
    const together = await musicEncoder.encode(pcm, 2)
    assertRows(together.embeddings, 2, dims)
    assertRows(together.tags, 2, labels.length)
    assert.ok(
      together.tags.every((confidence) => confidence >= 0 && confidence <= 1),
      'a confidence is not in 0 … 1',
    )
    const alone = await musicEncoder.encode(second, 1)
    assertClose(row(together.embeddings, 1, dims), alone.embeddings)
    assertClose(row(together.tags, 1, labels.length), alone.tags)
    assert.notDeepEqual(row(together.embeddings, 0, dims), row(together.embeddings, 1, dims))
  })

  test(`${name}: silence and full scale give finite values`, async () => {
    const { musicEncoder } = await encoders()
    for (const level of [0, 1, -1]) {
      const result = await musicEncoder.encode(new Float32Array(musicEncoder.patchSamples).fill(level), 1)
      assertRows(result.embeddings, 1, musicEncoder.dims)
    }
  })

  test(`${name}: texts give unit rows in order, the same ones alone as together`, async () => {
    const { textEncoder } = await encoders()
    const texts = ['calm acoustic guitar', 'energetic electronic music for a chase', 'calm acoustic guitar']
    const together = await textEncoder.encode(texts)
    assertRows(together, 3, textEncoder.dims)
    for (const index of [0, 1, 2]) {
      assert.ok(Math.abs(Math.hypot(...row(together, index, textEncoder.dims)) - 1) < 1e-5, `row ${index} is not unit`)
    }
    assertClose(row(together, 1, textEncoder.dims), await textEncoder.encode([texts[1]!]))
    assert.deepEqual(row(together, 0, textEncoder.dims), row(together, 2, textEncoder.dims))
    assert.notDeepEqual(row(together, 0, textEncoder.dims), row(together, 1, textEncoder.dims))
  })

  test(`${name}: no text is too odd to encode`, async () => {
    const { textEncoder } = await encoders()
    const odd = [
      '',
      ' \n\t',
      '静かな夜',
      'спокойная музыка',
      'موسيقى هادئة',
      '🎸🔥',
      '\ud800',
      'half \udc00 pair',
      '\0',
      'a'.repeat(10_000_000),
    ]
    const long = ['slow piano '.repeat(50_000), 'wo '.repeat(300)]
    const rows = await textEncoder.encode([...odd, ...long])
    assertRows(rows, odd.length + long.length, textEncoder.dims)
  })

  test(`${name}: nothing in gives nothing out`, async () => {
    const { imageEncoder, musicEncoder, textEncoder } = await encoders()
    assert.equal((await imageEncoder.encode(new Uint8Array(0), 0)).length, 0)
    assert.equal((await musicEncoder.encode(new Float32Array(0), 0)).embeddings.length, 0)
    assert.equal((await textEncoder.encode([])).length, 0)
  })

  test(`${name}: input of a wrong size, or that is not finite, is refused`, async () => {
    const { imageEncoder, musicEncoder } = await encoders()
    const { patchSamples } = musicEncoder
    await assert.rejects(imageEncoder.encode(new Uint8Array(pictureBytes - 1), 1), ShapeError)
    await assert.rejects(imageEncoder.encode(new Uint8Array(pictureBytes), 2), ShapeError)
    await assert.rejects(musicEncoder.encode(new Float32Array(patchSamples + 1), 1), ShapeError)
    await assert.rejects(musicEncoder.encode(new Float32Array(patchSamples).fill(Number.NaN), 1), ShapeError)
  })

  test(`${name}: many callers at once get each their own answer`, async () => {
    const { textEncoder, imageEncoder } = await encoders()
    const texts = Array.from({ length: 20 }, (_, index) => `theme number ${index}`)
    const pixels = randomPicture(9)
    const [rows, pictures] = await Promise.all([
      Promise.all(texts.map((text) => textEncoder.encode([text]))),
      Promise.all([0, 1, 2].map(() => imageEncoder.encode(pixels, 1))),
    ])
    const inOrder = await textEncoder.encode(texts)
    for (const [index, values] of rows.entries()) assert.deepEqual(values, row(inOrder, index, textEncoder.dims))
    assert.deepEqual(pictures[0], pictures[2])
  })
}
