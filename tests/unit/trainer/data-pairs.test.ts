import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TextEncoder } from '../../../ports/encoder.ts'
import { InvalidRecordError, ShapeError } from '../../../ports/errors.ts'
import { isMusicLabel } from '../../../trainer/data/music-labels.ts'
import { writeNpy } from '../../../trainer/data/npy.ts'
import { checkPairs, meanRows, selectPairs, sequenceOf, textVectorOf } from '../../../trainer/data/pairs.ts'
import { pairsFromFiles } from '../../../trainer/data/pairs-from-files.ts'

const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

const VIDEO = { shape: [3, 2], values: Float32Array.of(1, 2, 3, 4, 5, 6) }
const MUSIC = { shape: [3, 2, 1], values: Float32Array.of(1, 3, 5, 7, 9, 11) }
const ITEMS = `row,yt8m_id,is_music_video,labels
0,aa,1,Guitar|Wedding|Drum|Piano|Violin|Choir
1,bb,0,Final Fantasy
2,cc,0,"Recorder (musical instrument)|Guitar Hero"
`

async function folderWith({ video = VIDEO, music = MUSIC, items = ITEMS } = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cuestream-pairs-'))
  folders.push(folder)
  await writeFile(join(folder, 'visual.f16.npy'), writeNpy(video))
  await writeFile(join(folder, 'audio.f16.npy'), writeNpy(music))
  await writeFile(join(folder, 'items.csv'), items)
  return folder
}

/** Encodes a text as its length and whether it is empty. */
function lengthEncoder(): TextEncoder & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    id: 'length',
    sha256: '0',
    dims: 2,
    asked,
    async encode(texts) {
      asked.push(...texts)
      return Float32Array.from(texts.flatMap((text) => [text.length, text === '' ? 1 : 0]))
    },
  }
}

test('features of one and of several segments are read as sequences', async () => {
  const pairs = await pairsFromFiles(await folderWith())
  assert.equal(pairs.count, 3)
  assert.deepEqual(sequenceOf(pairs.video, 1), Float32Array.of(3, 4))
  assert.deepEqual(sequenceOf(pairs.music, 2), Float32Array.of(9, 11))
  assert.deepEqual(meanRows(pairs.music), Float32Array.of(2, 6, 10))
  assert.deepEqual(pairs.videoIds, ['aa', 'bb', 'cc'])
})

test('the text of a pair is its music labels and nothing of what is seen', async () => {
  const { texts } = await pairsFromFiles(await folderWith())
  const wordings = [...texts!.rows].map((row) => texts!.strings[row]!)
  for (const text of wordings.slice(0, 4)) {
    assert.deepEqual(text.split(', ').sort(), ['Choir', 'Drum', 'Guitar', 'Piano', 'Violin'])
  }
  assert.ok(new Set(wordings.slice(0, 4)).size > 1, 'every shuffle is the same')
  assert.deepEqual(wordings.slice(4, 8), ['', '', '', ''])
  assert.deepEqual(wordings.slice(8), Array(4).fill('Recorder (musical instrument)'))
})

test('labels of games, shows and dances are no music labels', () => {
  const music = [
    'Electric guitar',
    'Pianist',
    'Cello',
    'Music video',
    'Concert',
    'Organ (music)',
    'String instrument',
    'DJ',
  ]
  const seen = [
    'Morgan le Fay',
    'Rock Band (video game)',
    'Guitar Hero III: Legends of Rock',
    'Stadium',
    'Dance',
    'Harpoon',
    '',
  ]
  assert.deepEqual([...music, ...seen].filter(isMusicLabel), music)
})

test('a text does not change with the rows around it, and does with the seed', async () => {
  const textOf = async (items: string, rows: number, pair: number, seed: number) => {
    const video = { shape: [rows, 1], values: new Float32Array(rows) }
    const { texts } = await pairsFromFiles(await folderWith({ items, video, music: video }), { seed, variants: 1 })
    return texts!.strings[texts!.rows[pair]!]
  }
  const labels = 'Guitar|Drum|Piano|Violin|Choir|Harp|Flute'
  const alone = await textOf(`id,labels\nx,${labels}\n`, 1, 0, 0)
  assert.equal(await textOf(`id,labels\ny,Drum|Piano\nx,${labels}\n`, 2, 1, 0), alone)
  assert.notEqual(await textOf(`id,labels\nx,${labels}\n`, 1, 0, 1), alone)
})

test('each different text is encoded once, the empty one first, and never again in a second run', async () => {
  const folder = await folderWith()
  const cacheFolder = join(folder, 'cache')
  const first = lengthEncoder()
  const pairs = await pairsFromFiles(folder, { textEncoder: first, cacheFolder })
  assert.equal(first.asked[0], '')
  assert.equal(new Set(first.asked).size, first.asked.length)
  assert.deepEqual(textVectorOf(pairs.texts!, 1), Float32Array.of(0, 1))
  assert.deepEqual(textVectorOf(pairs.texts!, 2, 3), Float32Array.of('Recorder (musical instrument)'.length, 0))

  const second = lengthEncoder()
  assert.deepEqual(await pairsFromFiles(folder, { textEncoder: second, cacheFolder }), pairs)
  assert.deepEqual(second.asked, [])

  const other = { ...lengthEncoder(), sha256: '1' }
  await pairsFromFiles(folder, { textEncoder: other, cacheFolder })
  assert.equal(other.asked.length, first.asked.length, 'another encoder was given the vectors of the first')
})

test('a cache file that is damaged is made anew', async () => {
  const folder = await folderWith()
  const options = { cacheFolder: join(folder, 'cache') }
  const pairs = await pairsFromFiles(folder, { ...options, textEncoder: lengthEncoder() })
  const [name] = await readdir(options.cacheFolder)
  await writeFile(join(options.cacheFolder, name!), 'damaged')
  assert.deepEqual(await pairsFromFiles(folder, { ...options, textEncoder: lengthEncoder() }), pairs)
  const again = lengthEncoder()
  await pairsFromFiles(folder, { ...options, textEncoder: again })
  assert.deepEqual(again.asked, [])
})

test("an operator's own columns give tracks, artists, weights and ready texts", async () => {
  const items = 'id,text,track,artist,weight\na,"calm, slow piano",t1,Ann,2\nb,,t1,,\nc,loud,,Bob,0\n'
  const pairs = await pairsFromFiles(await folderWith({ items }), { variants: 1 })
  assert.deepEqual(pairs.trackIds, ['t1', 't1', 'c'])
  assert.deepEqual(pairs.artists, ['Ann', '', 'Bob'])
  assert.deepEqual([...pairs.weights], [2, 1, 0])
  assert.deepEqual(pairs.texts!.strings, ['', 'calm, slow piano', 'loud'])
})

const unusable: [what: string, files: Parameters<typeof folderWith>[0], message: RegExp][] = [
  ['fewer rows than features', { items: 'id,labels\na,Drum\n' }, /has 1 rows, and visual.f16.npy has 3/],
  ['rows in another order', { items: 'row,id\n1,a\n0,b\n2,c\n' }, /a is said to be row 1/],
  ['a row without an id', { items: 'id,labels\na,Drum\n,Piano\nc,Harp\n' }, /row 1 has no id/],
  ['a quote that never ends', { items: 'id,labels\n"a,Drum\n' }, /items\.csv cannot be used/],
  ['a weight below zero', { items: 'id,weight\na,1\nb,-1\nc,1\n' }, /pair b has the weight -1/],
  ['a weight that is no number', { items: 'id,weight\na,1\nb,much\nc,1\n' }, /pair b has the weight NaN/],
  ['features of four axes', { music: { shape: [3, 1, 1, 2], values: new Float32Array(6) } }, /shape \(3, 1, 1, 2\)/],
  ['a track without segments', { music: { shape: [3, 0, 2], values: new Float32Array() } }, /no segment of music/],
]
for (const [what, files, message] of unusable) {
  test(`files with ${what} are refused with the reason`, async () => {
    await assert.rejects(
      folderWith(files).then((folder) => pairsFromFiles(folder)),
      (error) => error instanceof InvalidRecordError && message.test(error.message),
    )
  })
}

test('features that are not finite are refused, and the pair is named', async () => {
  const video = { shape: [3, 2], values: Float32Array.of(1, 2, 3, Number.NaN, 5, 6) }
  await assert.rejects(
    folderWith({ video }).then((folder) => pairsFromFiles(folder)),
    (error) => error instanceof ShapeError && /video features of pair bb/.test(error.message),
  )
})

test('chosen pairs keep what is theirs, in the order asked for', async () => {
  const pairs = await pairsFromFiles(await folderWith(), { textEncoder: lengthEncoder() })
  const chosen = selectPairs(pairs, [2, 0])
  checkPairs(chosen)
  assert.deepEqual(chosen.videoIds, ['cc', 'aa'])
  assert.deepEqual(sequenceOf(chosen.video, 1), sequenceOf(pairs.video, 0))
  assert.deepEqual(sequenceOf(chosen.music, 0), sequenceOf(pairs.music, 2))
  for (const variant of [0, 1, 2, 3]) {
    assert.deepEqual(textVectorOf(chosen.texts!, 1, variant), textVectorOf(pairs.texts!, 0, variant))
  }
})
