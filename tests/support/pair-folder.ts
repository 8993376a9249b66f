/** A folder of generated pairs, as `cuestream train --pairs` reads it: both sides are noisy views of one hidden vector. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seededRandom } from '../../model/random.ts'
import { writeNpy } from '../../trainer/data/npy.ts'

const HIDDEN = 6
const WORDS = [
  ['calm', 'loud'],
  ['piano', 'guitar'],
]

export interface PairFolderOptions {
  readonly count: number
  readonly video: { readonly id: string; readonly dims: number }
  readonly music: { readonly id: string; readonly dims: number }
}

export async function writePairFolder(folder: string, { count, video, music }: PairFolderOptions): Promise<void> {
  const random = seededRandom('pair folder')
  const signed = () => 2 * random() - 1
  const hidden = Array.from({ length: count }, () => Array.from({ length: HIDDEN }, signed))
  const view = (dims: number) => {
    const mixing = Array.from({ length: dims * HIDDEN }, signed)
    const values = new Float32Array(count * dims)
    for (let i = 0; i < values.length; i++) {
      const [pair, column] = [Math.floor(i / dims), i % dims]
      values[i] = hidden[pair]!.reduce((sum, value, k) => sum + value * mixing[column * HIDDEN + k]!, 0.2 * signed())
    }
    return writeNpy({ shape: [count, dims], values })
  }
  const items = hidden.map((values, pair) => {
    const text = WORDS.map((words, axis) => words[Number(values[axis]! > 0)]).join(' ')
    return `video-${pair},track-${pair},artist-${pair},${text}`
  })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'visual.f16.npy'), view(video.dims))
  await writeFile(join(folder, 'audio.f16.npy'), view(music.dims))
  await writeFile(join(folder, 'items.csv'), `id,track,artist,text\n${items.join('\n')}\n`)
  await writeFile(join(folder, 'encoders.json'), JSON.stringify({ video: video.id, music: music.id }))
}
