/** What the processes of a fleet logged that someone must look at. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ERROR = 50
const WARNING = 40
const MOST = 20
const LAST = 8
const TEXT_CHARACTERS = 300

/** @returns messages of level error and above, and what is no log at all (a stack as it died), with how often each came. */
export function errorsIn(logFolder: string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { file, texts } of told(logFolder, ERROR)) {
    const what = file.slice(0, file.lastIndexOf('#'))
    for (const text of texts) {
      const key = `${what}: ${text}`.slice(0, TEXT_CHARACTERS)
      if (key in counts || Object.keys(counts).length < MOST) counts[key] = (counts[key] ?? 0) + 1
    }
  }
  return counts
}

/** The last messages of level warning and above of each process, for who looks at a run that broke off. */
export function lastWarningsIn(logFolder: string): string[] {
  return told(logFolder, WARNING).flatMap(({ file, texts }) =>
    texts.slice(-LAST).map((text) => `${file}: ${text}`.slice(0, TEXT_CHARACTERS)),
  )
}

/** By log file, messages of this level and above. */
function told(logFolder: string, least: number): { file: string; texts: string[] }[] {
  const files = readdirSync(logFolder).filter((name) => name.endsWith('.log'))
  return files.map((file) => {
    const lines = readFileSync(join(logFolder, file), 'utf8').split('\n')
    return { file, texts: lines.flatMap((line) => textOf(line, least) ?? []) }
  })
}

function textOf(line: string, least: number): string | undefined {
  if (line.startsWith('{')) {
    const entry = JSON.parse(line) as { level: number; msg: string; reason?: string; err?: { message: string } }
    return entry.level >= least ? `${entry.msg}: ${entry.err?.message ?? entry.reason ?? ''}` : undefined
  }
  return /^[A-Za-z]*(Error|Warning)\b/.test(line) ? line : undefined
}
