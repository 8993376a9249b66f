/** Pictures of videos beside a folder's pairs: `frames/<video id>.jpg`, .png or .webp, where there are any. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, parse } from 'node:path'

const TYPES: Readonly<Record<string, string>> = { '.jpg': 'image/jpeg', '.png': 'image/png', '.webp': 'image/webp' }

/** @returns a function of a video id: its picture as a data: URL, read when it is asked for. */
export function framesOf(folder: string): (videoId: string) => string | undefined {
  const frames = join(folder, 'frames')
  const files = new Map<string, string>()
  for (const file of namesIn(frames)) {
    const { name, ext } = parse(file)
    if (ext in TYPES) files.set(name, file)
  }
  return (videoId) => {
    const file = files.get(videoId)
    if (file === undefined) return undefined
    return `data:${TYPES[parse(file).ext]};base64,${readFileSync(join(frames, file)).toString('base64')}`
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
