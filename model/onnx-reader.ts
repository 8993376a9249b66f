/**
 * Walks the messages of an ONNX file without running it, to learn what a loader must know of a file it does not trust:
 * that it is an ONNX model, and whether it would read other files (tensors may name "external data" by path).
 *
 * Message and field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
const maxDepth = 32

export interface OnnxSummary {
  /** Version of the standard operators; 0 if the file imports none. */
  readonly opset: number
  readonly nodes: number
  /** Names of the tensors whose values lie in other files. */
  readonly externalTensors: readonly string[]
}

type Visitor = (field: number, value: number, bytes: Uint8Array) => void

/** @throws RangeError unless the bytes are a well-formed model with a graph. */
export function inspectOnnx(model: Uint8Array): OnnxSummary {
  let opset = 0
  let nodes = 0
  let graphs = 0
  const externalTensors: string[] = []

  const tensor = (message: Uint8Array) => {
    let name = ''
    let external = false
    readMessage(message, (field, value, bytes) => {
      if (field === 8) name = new TextDecoder().decode(bytes)
      if (field === 13 || (field === 14 && value !== 0)) external = true // external_data, data_location
    })
    if (external) externalTensors.push(name)
  }
  const sparseTensor = (message: Uint8Array) =>
    readMessage(message, (field, _, bytes) => {
      if (field === 1 || field === 2) tensor(bytes) // values, indices
    })
  const node = (message: Uint8Array, depth: number) => {
    nodes += 1
    readMessage(message, (field, _, bytes) => {
      if (field === 5) attribute(bytes, depth)
    })
  }
  const attribute = (message: Uint8Array, depth: number) =>
    readMessage(message, (field, _, bytes) => {
      if (field === 5 || field === 10) tensor(bytes) // t, tensors
      if (field === 6 || field === 11) graph(bytes, depth + 1) // g, graphs
      if (field === 22 || field === 23) sparseTensor(bytes) // sparse_tensor, sparse_tensors
    })
  const graph = (message: Uint8Array, depth: number) => {
    if (depth > maxDepth) throw new RangeError(`Graphs are nested deeper than ${maxDepth}.`)
    readMessage(message, (field, _, bytes) => {
      if (field === 1) node(bytes, depth)
      if (field === 5) tensor(bytes) // initializer
      if (field === 15) sparseTensor(bytes)
    })
  }

  readMessage(model, (field, _, bytes) => {
    if (field === 7) {
      graphs += 1
      graph(bytes, 0)
    }
    if (field === 8) {
      let domain = ''
      let version = 0
      readMessage(bytes, (inner, value, text) => {
        if (inner === 1) domain = new TextDecoder().decode(text)
        if (inner === 2) version = value
      })
      if (domain === '' || domain === 'ai.onnx') opset = version
    }
    if (field === 25) {
      // A function's body is a list of nodes; attribute defaults are attributes.
      readMessage(bytes, (inner, _value, part) => {
        if (inner === 7) node(part, 0)
        if (inner === 11) attribute(part, 0)
      })
    }
  })
  if (graphs !== 1) throw new RangeError('It holds no graph.')
  return { opset, nodes, externalTensors }
}

/** Calls `visit` for each field: the value of a varint, or the bytes of a length-delimited one. */
function readMessage(message: Uint8Array, visit: Visitor): void {
  const none = message.subarray(0, 0)
  let offset = 0

  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[offset]
      if (byte === undefined) throw new RangeError('It ends inside a number.')
      offset += 1
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new RangeError('It has a number of more than ten bytes.')
  }

  while (offset < message.byteLength) {
    const tag = varint()
    const field = Math.floor(tag / 8)
    const wireType = tag % 8
    if (wireType === 0) {
      visit(field, varint(), none)
      continue
    }
    const length = wireType === 2 ? varint() : wireType === 1 ? 8 : wireType === 5 ? 4 : -1
    if (length < 0) throw new RangeError(`It has a field of wire type ${wireType}.`)
    if (offset + length > message.byteLength) throw new RangeError('It ends inside a field.')
    visit(field, 0, wireType === 2 ? message.subarray(offset, offset + length) : none)
    offset += length
  }
}
