/** What a test file reaches by its imports inside tests/. */
import { readFileSync } from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))
const tests = resolve(repository, 'tests') + sep
const sources = ['tests/support/services.ts', 'services/start-services.ts'].map((path) => resolve(repository, path))
const IMPORT = /\b(?:from|import)\s*\(?\s*['"](\.[^'"]+\.ts)['"]/g

/**
 * Whether a test file talks to real servers: it, or a module of tests/ that it imports, imports their addresses or the
 * ladder that starts them. Unit tests never do: those of the ladder itself start nothing.
 */
export function wantsServices(file: string): boolean {
  if (file.startsWith(resolve(tests, 'unit') + sep)) return false
  return reaches(file, new Set())
}

function reaches(file: string, seen: Set<string>): boolean {
  if (seen.has(file)) return false
  seen.add(file)
  const imported = [...readFileSync(file, 'utf8').matchAll(IMPORT)].map((match) => resolve(dirname(file), match[1]!))
  return imported.some((path) => sources.includes(path) || (path.startsWith(tests) && reaches(path, seen)))
}
