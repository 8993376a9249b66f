/** docs/training-configuration.md: what a training configuration may say, from its schema. */
import { z } from 'zod'
import { trainConfigSchema } from './train-config.ts'

interface Described {
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Described[]
  readonly oneOf?: readonly Described[]
  readonly properties?: Readonly<Record<string, Described>>
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly default?: unknown
  readonly description?: string
}

/** A Markdown table, one row a key; kinds of encoder have a row for each of their keys. */
export function trainConfigTable(): string {
  const { properties = {} } = z.toJSONSchema(trainConfigSchema, { io: 'input' }) as Described
  const rows = Object.entries(properties).flatMap(([key, value]) => [rowOf(key, value), ...kindRows(key, value)])
  return ['| key | values | default | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

function rowOf(key: string, value: Described): string {
  const given = value.default === undefined ? '' : `\`${JSON.stringify(value.default)}\``
  return `| \`${key}\` | ${valuesOf(value)} | ${given} | ${value.description ?? ''} |`
}

function kindRows(key: string, { oneOf = [] }: Described): string[] {
  return oneOf.flatMap(({ properties = {} }) => {
    const { kind, ...others } = properties
    return Object.entries(others).map(([name, value]) => rowOf(`${key}.${name}`, { ...value, description: of(value) }))

    function of({ description }: Described): string {
      return [`Of \`${kind?.const}\`.`, description].filter(Boolean).join(' ')
    }
  })
}

function valuesOf(value: Described): string {
  const some = value.anyOf ?? value.oneOf
  if (some !== undefined) return some.map(valuesOf).join(' or ')
  if (value.properties !== undefined) return `kind \`${value.properties.kind?.const}\``
  if (value.const !== undefined) return `\`${value.const}\``
  if (value.enum !== undefined) return value.enum.map((one) => `\`${one}\``).join(', ')
  const { minimum, exclusiveMinimum, maximum } = value
  const least = minimum ?? (exclusiveMinimum === undefined ? undefined : `above ${exclusiveMinimum}`)
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum
  if (most === undefined) return typeof least === 'number' ? `from ${least}` : (least ?? '')
  return `${least} … ${most}`
}
