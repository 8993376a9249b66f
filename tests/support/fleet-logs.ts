/** What the processes of a fleet logged that someone must look at. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ERROR = 50
const MOST = 20
const TEXT_CHARACTERS = 300

/** @returns messages of level error and above, and what is no log at all (a stack as it died), with how often each came. */
export function errorsIn(logFolder: string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const file of readdirSync(logFolder).filter((name) => name.endsWith('.log'))) {
    const what = file.slice(0, file.lastIndexOf('#'))
    for (const line of readFileSync(join(logFolder, file), 'utf8').split('\n')) {
      const text = textOf(line)
      if (text === undefined) continue
      const key = `${what}: ${text}`.slice(0, TEXT_CHARACTERS)
      if (key in counts || Object.keys(counts).length < MOST) counts[key] = (counts[key] ?? 0) + 1
    }
  }
  return counts
}

function textOf(line: string): string | undefined {
  if (line.startsWith('{')) {
    const { level, msg, err } = JSON.parse(line) as { level: number; msg: string; err?: { message: string } }
    return level >= ERROR ? `${msg}: ${err?.message ?? ''}` : undefined
  }
  return /^[A-Za-z]*(Error|Warning)\b/.test(line) ? line : undefined
}
