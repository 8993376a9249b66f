import { network } from './scenarios/network.ts'
import { testShortForm } from './short-form.ts'

testShortForm(network)
