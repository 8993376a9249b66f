/**
 * Writes ONNX models: a graph is built node by node and serialised as a ModelProto, with no dependency.
 *
 *     const graph = new GraphBuilder('tower')
 *     const x = graph.input('x', ['batch', 4])
 *     const w = graph.initializer('w', [4, 2], weights)
 *     graph.output('y', graph.node('MatMul', [x, w]), ['batch', 2])
 *     const bytes = graph.toModel({ metadata: { release: 'r1' } })
 *
 * Values are named by strings: every builder call returns the name of what it made, which later calls take as input.
 *
 * Invariants:
 *   [copied]   initializers are copied when they are added: changing the array later changes nothing
 *   [defined]  a node may only use values that exist already, so the graph is in topological order and has no cycle
 *   [unique]   no two values share a name
 *
 * Message and field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import { ProtobufMessage } from './protobuf-writer.ts'

/** A number is fixed; a string names a dimension that is known when the model runs, such as 'batch'. */
export type Dimension = number | string
export type ElementType = 'float32' | 'int64'

/** Integers and lists of integers are written plainly; a float is marked, since 1 could be either. */
export type AttributeValue = number | string | { readonly float: number } | readonly number[]
export type Attributes = Readonly<Record<string, AttributeValue>>

const elementTypes: Record<ElementType, number> = { float32: 1, int64: 7 } // TensorProto.DataType
const attributeTypes = { float: 1, int: 2, string: 3, ints: 7 } // AttributeProto.AttributeType

export class GraphBuilder {
  readonly #name: string
  readonly #inputs: ProtobufMessage[] = []
  readonly #outputs: ProtobufMessage[] = []
  readonly #nodes: ProtobufMessage[] = []
  readonly #initializers: ProtobufMessage[] = []
  /** Names of all values so far. [defined] [unique] */
  readonly #values = new Set<string>()
  /** Names of constants by their content, so that each is stored once. */
  readonly #constants = new Map<string, string>()

  constructor(name: string) {
    this.#name = name
  }

  /** A value that the caller feeds. @returns its name. */
  input(name: string, shape: readonly Dimension[], type: ElementType = 'float32'): string {
    this.#define(name)
    this.#inputs.push(valueInfo(name, shape, type))
    return name
  }

  /**
   * A constant tensor, row-major; float32 or int64 by the array's type.
   * @throws RangeError if `data` does not fill `shape`.
   */
  initializer(name: string, shape: readonly number[], data: Float32Array | BigInt64Array): string {
    const size = shape.reduce((product, dimension) => product * dimension, 1)
    if (size !== data.length) {
      throw new RangeError(`Initializer "${name}" of shape [${shape}] needs ${size} values, got ${data.length}.`)
    }
    this.#define(name)
    this.#initializers.push(tensor(name, shape, data))
    return name
  }

  /** A float32 scalar; equal ones are stored once. */
  scalar(value: number): string {
    return this.#constant(`scalar ${Object.is(value, -0) ? '-0' : value}`, [], Float32Array.of(value))
  }

  /** A 1-D int64 tensor, as axes, shapes and split sizes are; equal ones are stored once. */
  ints(values: readonly number[]): string {
    return this.#constant(`ints ${values}`, [values.length], BigInt64Array.from(values, BigInt))
  }

  /**
   * An operator with one output. `''` as an input leaves out an optional one.
   * @returns the output's name: `output`, or one made up.
   */
  node(operator: string, inputs: readonly string[], attributes: Attributes = {}, output?: string): string {
    const name = output ?? this.#fresh(operator)
    this.nodeWithOutputs(operator, inputs, [name], attributes)
    return name
  }

  /** An operator with several outputs, such as Split: their names, or how many. @returns their names. */
  nodeWithOutputs(
    operator: string,
    inputs: readonly string[],
    outputs: readonly string[] | number,
    attributes: Attributes = {},
  ): readonly string[] {
    for (const input of inputs) {
      if (input !== '' && !this.#values.has(input)) {
        throw new ReferenceError(`${operator} uses the value "${input}", which is not defined before it.`)
      }
    }
    const names =
      typeof outputs === 'number'
        ? Array.from({ length: outputs }, (_, index) => `${this.#fresh(operator)}_${index}`)
        : outputs
    for (const name of names) this.#define(name)

    const message = new ProtobufMessage()
    for (const input of inputs) message.string(1, input)
    for (const name of names) message.string(2, name)
    message.string(3, `${operator}_${this.#nodes.length}`).string(4, operator)
    for (const [name, value] of Object.entries(attributes)) message.message(5, attribute(name, value))
    this.#nodes.push(message)
    return names
  }

  /** Gives the value `value` to the caller under `name`. */
  output(name: string, value: string, shape: readonly Dimension[], type: ElementType = 'float32'): void {
    if (name !== value) this.node('Identity', [value], {}, name)
    else if (!this.#values.has(value)) throw new ReferenceError(`Output "${name}" is not defined.`)
    this.#outputs.push(valueInfo(name, shape, type))
  }

  /**
   * @param metadata string pairs that travel inside the file.
   * @param opset version of the standard operators; 17 has LayerNormalization and axes of ReduceMean as an attribute.
   * @returns a serialised ModelProto, little endian.
   */
  toModel({
    metadata = {},
    opset = 17,
  }: {
    metadata?: Readonly<Record<string, string>>
    opset?: number
  } = {}): Uint8Array {
    if (this.#outputs.length === 0) throw new RangeError(`Graph "${this.#name}" has no output.`)
    const graph = new ProtobufMessage()
    for (const node of this.#nodes) graph.message(1, node)
    graph.string(2, this.#name)
    for (const initializer of this.#initializers) graph.message(5, initializer)
    for (const input of this.#inputs) graph.message(11, input)
    for (const output of this.#outputs) graph.message(12, output)

    const irVersion = 8 // the one of opset 17
    const model = new ProtobufMessage()
      .int(1, irVersion)
      .string(2, 'cuestream')
      .message(7, graph)
      .message(8, new ProtobufMessage().string(1, '').int(2, opset))
    for (const [key, value] of Object.entries(metadata)) {
      model.message(14, new ProtobufMessage().string(1, key).string(2, value))
    }
    return model.finish()
  }

  #constant(content: string, shape: readonly number[], data: Float32Array | BigInt64Array): string {
    let name = this.#constants.get(content)
    if (name === undefined) {
      name = this.initializer(this.#fresh('constant'), shape, data)
      this.#constants.set(content, name)
    }
    return name
  }

  #fresh(base: string): string {
    let number = this.#values.size
    while (this.#values.has(`${base}#${number}`) || this.#values.has(`${base}#${number}_0`)) number += 1
    return `${base}#${number}`
  }

  #define(name: string): void {
    if (name === '' || this.#values.has(name)) throw new RangeError(`The value name "${name}" is empty or taken.`)
    this.#values.add(name)
  }
}

/** AttributeProto. */
function attribute(name: string, value: AttributeValue): ProtobufMessage {
  const message = new ProtobufMessage().string(1, name)
  if (typeof value === 'number') return message.int(3, value).int(20, attributeTypes.int)
  if (typeof value === 'string') return message.string(4, value).int(20, attributeTypes.string)
  if ('float' in value) return message.float(2, value.float).int(20, attributeTypes.float)
  for (const item of value) message.int(8, item)
  return message.int(20, attributeTypes.ints)
}

/** TensorProto with its values as raw bytes. [copied] */
function tensor(name: string, shape: readonly number[], data: Float32Array | BigInt64Array): ProtobufMessage {
  const message = new ProtobufMessage()
  for (const dimension of shape) message.int(1, dimension)
  message.int(2, data instanceof BigInt64Array ? elementTypes.int64 : elementTypes.float32).string(8, name)
  // A view of the array's own part of its buffer (it may start anywhere), then a copy of that.
  return message.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice())
}

/** ValueInfoProto: name, element type and shape. */
function valueInfo(name: string, shape: readonly Dimension[], type: ElementType): ProtobufMessage {
  const dimensions = new ProtobufMessage()
  for (const dimension of shape) {
    const message = new ProtobufMessage()
    dimensions.message(1, typeof dimension === 'string' ? message.string(2, dimension) : message.int(1, dimension))
  }
  const tensorType = new ProtobufMessage().int(1, elementTypes[type]).message(2, dimensions)
  return new ProtobufMessage().string(1, name).message(2, new ProtobufMessage().message(1, tensorType))
}
