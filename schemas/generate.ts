/**
 * `npm run schemas`: keeps each changed schema as a new version, then writes schemas/types.ts.
 *
 * schemas/versions/<subject>/<n>.avsc holds every version that was ever released, and is only added to. A schema that
 * cannot read all of them is refused (BACKWARD_TRANSITIVE). Tests fail when types or versions lag behind the schemas.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { canonicalForm, checkBackward } from './compatibility.ts'

type Schema = string | readonly Schema[] | NamedSchema
interface NamedSchema {
  readonly type: Schema
  readonly name?: string
  readonly doc?: string
  readonly symbols?: readonly string[]
  readonly items?: Schema
  readonly values?: Schema
  readonly fields?: readonly { name: string; type: Schema; doc?: string; default?: unknown }[]
}

const here = fileURLToPath(new URL('.', import.meta.url))
const primitives: Record<string, string> = {
  null: 'null',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  float: 'number',
  double: 'number',
  string: 'string',
  bytes: 'Uint8Array',
}

/** @returns the TypeScript source for every schema in the folder. @throws Error when one name means two shapes. */
export function generateTypes(directory: string = here): string {
  const declarations = new Map<string, string>()

  function declare(name: string, source: string): string {
    const earlier = declarations.get(name)
    if (earlier !== undefined && earlier !== source) throw new Error(`Avro type ${name} is declared in two shapes`)
    declarations.set(name, source)
    return name
  }

  function typeOf(schema: Schema): string {
    if (typeof schema === 'string') return primitives[schema] ?? schema
    if (Array.isArray(schema)) return (schema as readonly Schema[]).map(typeOf).join(' | ')
    const named = schema as NamedSchema
    if (named.type === 'record') {
      const lines = named.fields!.map((field) => {
        const doc = field.doc ? `  /** ${field.doc} */\n` : ''
        return `${doc}  readonly ${field.name}: ${typeOf(field.type)}`
      })
      const doc = named.doc ? `/** ${named.doc} */\n` : ''
      return declare(named.name!, `${doc}export interface ${named.name} {\n${lines.join('\n')}\n}`)
    }
    if (named.type === 'enum') {
      return declare(named.name!, `export type ${named.name} = ${named.symbols!.map((s) => `'${s}'`).join(' | ')}`)
    }
    if (named.type === 'array') return `readonly ${wrap(typeOf(named.items!))}[]`
    if (named.type === 'map') return `Readonly<Record<string, ${typeOf(named.values!)}>>`
    return typeOf(named.type)
  }

  for (const subject of subjectsIn(directory)) typeOf(readSchema(`${directory}/${subject}.avsc`) as NamedSchema)
  return `// Generated from schemas/*.avsc by \`npm run schemas\`; do not edit.\n\n${[...declarations.values()].join('\n\n')}\n`
}

function wrap(type: string): string {
  return type.includes(' | ') ? `(${type})` : type
}

/** Names of the schemas in the folder, which are the topics' names. */
export function subjectsIn(directory: string = here): string[] {
  const files = readdirSync(directory).filter((file) => file.endsWith('.avsc'))
  return files.map((file) => file.slice(0, -'.avsc'.length)).sort()
}

export type VersionState =
  | { readonly state: 'kept' }
  | { readonly state: 'new'; readonly version: number }
  | { readonly state: 'refused'; readonly reason: string }

/** How the schema of a subject stands to its kept versions. */
export function versionState(subject: string, directory: string = here): VersionState {
  const schema = readSchema(`${directory}/${subject}.avsc`)
  const kept = keptVersions(subject, directory)
  const last = kept.at(-1)
  if (last !== undefined && canonicalForm(last) === canonicalForm(schema)) return { state: 'kept' }
  const problem = checkBackward(schema, kept)
  if (problem === undefined) return { state: 'new', version: kept.length + 1 }
  const where = problem.path === '' ? '' : ` at ${problem.path}`
  const reason =
    `${subject}.avsc cannot read its version ${problem.version}${where}: ${problem.reason}; ` +
    'add optional fields only, or define a new .vN topic'
  return { state: 'refused', reason }
}

/** Keeps every changed schema as its next version. @returns files written. @throws Error, writing none, when one is refused. */
export function keepVersions(directory: string = here): string[] {
  const states = subjectsIn(directory).map((subject) => ({ subject, ...versionState(subject, directory) }))
  const refused = states.flatMap((state) => (state.state === 'refused' ? [state.reason] : []))
  if (refused.length > 0) throw new Error(refused.join('\n'))
  return states.flatMap((state) => {
    if (state.state !== 'new') return []
    const folder = `${directory}/versions/${state.subject}`
    mkdirSync(folder, { recursive: true })
    const file = `${folder}/${state.version}.avsc`
    copyFileSync(`${directory}/${state.subject}.avsc`, file)
    return [file]
  })
}

/** Earlier first: 1.avsc, 2.avsc, … */
function keptVersions(subject: string, directory: string): object[] {
  const kept: object[] = []
  const fileOf = (version: number) => `${directory}/versions/${subject}/${version}.avsc`
  while (existsSync(fileOf(kept.length + 1))) kept.push(readSchema(fileOf(kept.length + 1)))
  return kept
}

function readSchema(file: string): object {
  return JSON.parse(readFileSync(file, 'utf8'))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  keepVersions()
  writeFileSync(`${here}/types.ts`, generateTypes())
}
