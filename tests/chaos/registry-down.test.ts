import { registryDown } from './scenarios/registry-down.ts'
import { testShortForm } from './short-form.ts'

testShortForm(registryDown)
