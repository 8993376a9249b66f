/** The pages that people write by hand or that are generated, and the code that stands in them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../../', import.meta.url))

export interface Page {
  /** From the root of the repository. */
  readonly path: string
  readonly text: string
  /** Contents of the `spans` outside fences, and of the lines inside fences. */
  readonly spans: readonly string[]
  readonly fenced: readonly string[]
}

export function readPages(): readonly Page[] {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name))
  const top = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md']
  return [...top, ...docs.filter((name) => name.endsWith('.md'))]
    .filter((path) => existsSync(join(root, path)))
    .map((path) => pageOf(path, readFileSync(join(root, path), 'utf8')))
}

export function pageOf(path: string, text: string): Page {
  const fenced: string[] = []
  const prose: string[] = []
  let inFence = false
  for (const line of text.split('\n')) {
    if (/^\s*```/.test(line)) inFence = !inFence
    else if (inFence) fenced.push(line)
    else prose.push(line)
  }
  const spans = [...prose.join('\n').matchAll(/`([^`]+)`/g)].map(([, span]) => span!.replace(/\s+/g, ' '))
  return { path, text: prose.join('\n'), spans, fenced }
}
