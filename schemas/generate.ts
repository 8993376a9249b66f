/** Writes schemas/types.ts from schemas/*.avsc: `npm run schemas`. A test fails when the two differ. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

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

  const files = readdirSync(directory).filter((file) => file.endsWith('.avsc'))
  for (const file of files.sort()) typeOf(JSON.parse(readFileSync(`${directory}/${file}`, 'utf8')))
  return `// Generated from schemas/*.avsc by \`npm run schemas\`; do not edit.\n\n${[...declarations.values()].join('\n\n')}\n`
}

function wrap(type: string): string {
  return type.includes(' | ') ? `(${type})` : type
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(`${here}/types.ts`, generateTypes())
